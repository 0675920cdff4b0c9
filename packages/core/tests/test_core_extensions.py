"""Finding extensions by entry point, presets, and the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dockerparallel import (
    DockerCluster,
    ExtensionConflictError,
    ExtensionError,
    ExtensionInfo,
    ExtensionNotFoundError,
    cluster_preset,
    installed_extensions,
    presets,
)
from dockerparallel.__main__ import main


class Site:
    """A folder on ``sys.path`` with made-up distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, distribution: str, entry_points: str) -> None:
        info = self.folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n", encoding="utf-8"
        )
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(presets, "_preset", {})
    return Site(folder)


def extend(site: Site) -> None:
    site.add(
        "dist-a",
        "[dockerparallel.providers]\nmini = core_fakes:MinimalProvider\n"
        "broken = no_such_module:Provider\npicky = core_fakes:MemoryProvider\n"
        "wrong = core_fakes:Platform\n"
        "[dockerparallel.containers]\nserver-only = made_container:make\n",
    )
    (site.folder / "made_container.py").write_text(
        "from core_fakes import MemoryContainer\n"
        "def make():\n    return MemoryContainer(image='made')\n",
        encoding="utf-8",
    )


def test_listing_names_extensions_and_imports_nothing(site: Site) -> None:
    extend(site)
    listed = installed_extensions()
    assert (
        ExtensionInfo("provider", "mini", "dist-a", "1.2", "core_fakes:MinimalProvider") in listed
    )
    assert [e.name for e in listed if e.distribution == "dist-a"] == [
        "broken",
        "mini",
        "picky",
        "wrong",
        "server-only",
    ]
    assert "made_container" not in sys.modules


def test_names_and_presets_make_clusters(site: Site) -> None:
    extend(site)
    assert type(DockerCluster("mini", "server-only").state.provider).__name__ == "MinimalProvider"
    cluster_preset(provider="mini")
    cluster_preset(container="server-only")
    cluster = DockerCluster(worker_number=4)
    assert cluster.config.expected_worker_number == 4
    assert cluster.state.worker_container.image == "made"
    with pytest.raises(ExtensionNotFoundError):
        cluster_preset(provider="nowhere", container="server-only")
    assert type(DockerCluster().state.provider).__name__ == "MinimalProvider"


def test_an_unknown_name_lists_what_is_installed(site: Site) -> None:
    extend(site)
    with pytest.raises(
        ExtensionNotFoundError,
        match=r"'cloud'.*broken, .*mini.*pip install dockerparallel-cloud-provider",
    ):
        DockerCluster("cloud", "server-only")


def test_two_claims_to_one_name_name_both(site: Site) -> None:
    extend(site)
    site.add("dist-b", "[dockerparallel.providers]\nmini = core_fakes:MemoryProvider\n")
    with pytest.raises(ExtensionConflictError, match=r"dist-a 1\.2 and dist-b 1\.2"):
        DockerCluster("mini", "server-only")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "'broken' of dist-a cannot be loaded.*no_such_module"),
        ("picky", "'picky' cannot be made without arguments"),
        ("wrong", "gives Platform, which is no CloudProvider"),
    ],
)
def test_an_extension_that_does_not_work_says_why(name: str, message: str, site: Site) -> None:
    extend(site)
    with pytest.raises(ExtensionError, match=message):
        DockerCluster(name, "server-only")


def test_the_command_line_lists_extensions(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    extend(site)
    assert main(["extensions"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["kind", "name", "distribution", "version", "target"]
    assert ["provider", "mini", "dist-a", "1.2", "core_fakes:MinimalProvider"] in [
        line.split() for line in lines
    ]


def test_the_module_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dockerparallel", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("dockerparallel 0.")
