"""``python -m dockerparallel new``, with a made-up reference extension."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dockerparallel import ExtensionError, ExtensionNotFoundError, InvalidValueError
from dockerparallel.__main__ import main
from dockerparallel.scaffold import create_extension, find_reference, rename

PYPROJECT = """\
[project]
name = "dockerparallel-far-away-provider"
authors = [{ name = "Somebody" }]

[project.entry-points."dockerparallel.providers"]
far-away = "dockerparallel_far_away_provider:FarAwayProvider"

[project.entry-points."dockerparallel.templates"]
provider = "dockerparallel_far_away_provider"

[dependency-groups]
test = ["dockerparallel-conformance"]

[tool.hatch.build.targets.wheel.force-include]
"README.md" = "dockerparallel_far_away_provider/_template/README.md"
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(params=["wheel", "editable"])
def reference(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Install a reference provider ``far-away``; return the folder of what is beside its source."""
    site = tmp_path / "project" / "src"
    package = site / "dockerparallel_far_away_provider"
    beside = package / "_template" if request.param == "wheel" else site.parent
    write(
        package,
        {
            "__init__.py": "class FarAwayProvider:\n    folder = 'far_away'  # FAR_AWAY\n",
            "_version.py": '__version__ = "7.3"\n',
            "py.typed": "",
            "inner/far_away_part.py": "import dockerparallel_far_away_provider\n",
            "image/Dockerfile": "RUN python -m dockerparallel_far_away_provider\n",
            "__pycache__/x.pyc": "not text",
        },
    )
    write(
        beside,
        {
            "pyproject.toml": PYPROJECT,
            "README.md": "# dockerparallel-far-away-provider\n\nThe provider `far-away`.\n",
            "LICENSE": "the licence",
            "tests/test_far_away_conformance.py": "class TestFarAway: other = 'redis-queue'\n",
            "tests/test_other.py": "",
        },
    )
    write(
        site / "dockerparallel_far_away_provider-7.3.dist-info",
        {
            "METADATA": "Metadata-Version: 2.1\n"
            "Name: dockerparallel-far-away-provider\nVersion: 7.3\n",
            "entry_points.txt": "[dockerparallel.providers]\n"
            "far-away = dockerparallel_far_away_provider:FarAwayProvider\n"
            "[dockerparallel.templates]\nprovider = dockerparallel_far_away_provider\n",
        },
    )
    # Alone, whatever reference extensions are installed beside the core.
    monkeypatch.setattr(sys, "path", [str(site)])
    return beside


def test_the_copy_has_the_new_name_everywhere(reference: Path, tmp_path: Path) -> None:
    folder = create_extension("provider", "near-by", tmp_path / "new")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    source = "src/dockerparallel_near_by_provider"
    assert files == {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "tests/test_near_by_conformance.py",
        f"{source}/__init__.py",
        f"{source}/_version.py",
        f"{source}/py.typed",
        f"{source}/image/Dockerfile",
        f"{source}/inner/near_by_part.py",
    }
    told_origin = {"CHANGELOG.md", "README.md"}
    for name in files - told_origin:
        text = (folder / name).read_text().lower()
        assert "far" not in text, name
    assert "NearByProvider" in (folder / source / "__init__.py").read_text()
    assert "'near_by'  # NEAR_BY" in (folder / source / "__init__.py").read_text()
    assert '"0.1.0"' in (folder / source / "_version.py").read_text()
    assert "redis-queue" in (folder / "tests/test_near_by_conformance.py").read_text()


def test_the_copy_says_where_it_comes_from_and_is_no_template(
    reference: Path, tmp_path: Path
) -> None:
    folder = create_extension("provider", "near-by", tmp_path / "new")
    project = (folder / "pyproject.toml").read_text()
    assert "templates" not in project
    assert "force-include" not in project
    assert "Somebody" not in project
    assert 'near-by = "dockerparallel_near_by_provider:NearByProvider"' in project
    assert "dependency-groups" in project
    readme = (folder / "README.md").read_text()
    assert readme.startswith("# dockerparallel-near-by-provider\n")
    assert "dockerparallel-far-away-provider 7.3" in readme
    assert "The provider `near-by`." in readme
    assert "dockerparallel-far-away-provider 7.3" in (folder / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "My-cloud",
        "my_cloud",
        "1cloud",
        "-cloud",
        "cloud-",
        "a--b",
        "my cloud",
        "../x",
        "x" * 41,
    ],
)
def test_a_name_that_does_not_fit_is_refused(reference: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValueError, match="is no name for a provider"):
        create_extension("provider", name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_name_that_is_taken_is_refused(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"'far-away' is installed already, by .* 7\.3"):
        create_extension("provider", "far-away", tmp_path / "new")


def test_a_folder_that_exists_is_left_alone(reference: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(InvalidValueError, match="exists: remove it, or choose another"):
        create_extension("provider", "near-by", tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_parent_that_is_not_there_is_told(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="There is no folder"):
        create_extension("provider", "near-by", tmp_path / "no" / "new")


def test_nothing_is_left_where_it_fails_half_way(reference: Path, tmp_path: Path) -> None:
    (reference / "LICENSE").unlink()
    (tmp_path / "into").mkdir()
    with pytest.raises(FileNotFoundError):
        create_extension("provider", "near-by", tmp_path / "into" / "new")
    assert list((tmp_path / "into").iterdir()) == []


def test_without_a_reference_the_error_tells_what_to_install(
    reference: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExtensionNotFoundError, match="pip install dockerparallel-"):
        create_extension("container", "near-by", tmp_path / "new")


def test_a_reference_without_its_files_is_told(reference: Path) -> None:
    (reference / "pyproject.toml").unlink()
    with pytest.raises(ExtensionError, match="holds no template"):
        find_reference("provider")


def test_the_command_tells_what_to_do_next(
    reference: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "provider", "near-by"]) == 0
    assert (tmp_path / "dockerparallel-near-by-provider" / "pyproject.toml").is_file()
    told = capsys.readouterr().out
    assert "cd dockerparallel-near-by-provider" in told
    assert "python -m pytest" in told


def test_the_command_tells_wrong_input_in_a_line(
    reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "provider", "Near By"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "'Near By' is no name for a provider" in captured.err


def test_names_are_replaced_in_all_forms() -> None:
    text = "far-away far_away FAR_AWAY FarAway; far away, faraway and redis stay"
    assert rename(text, "far-away", "x-y-2") == (
        "x-y-2 x_y_2 X_Y_2 XY2; far away, faraway and redis stay"
    )
