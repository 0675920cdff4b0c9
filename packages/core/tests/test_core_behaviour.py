"""Logging, copies, secrets in the container, joblib's default, and imports."""

from __future__ import annotations

import ast
import dataclasses
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from core_fakes import MemoryContainer, MinimalProvider

import dockerparallel
from dockerparallel import DockerCluster, DockerContainer
from dockerparallel.environment import read_secret

Make = Callable[..., DockerCluster]


def test_verbose_acts_on_one_cluster_alone(
    make_cluster: Make, caplog: pytest.LogCaptureFixture
) -> None:
    shared = logging.getLogger("dockerparallel")
    level = shared.level
    quiet, loud = make_cluster(job_queue_name="quiet"), make_cluster(job_queue_name="loud")
    loud.verbose = 2
    quiet.verbose = 1
    for cluster in (quiet, loud):
        cluster.logger.debug("detail %d", 1)
        cluster.logger.info("progress")
    loud.verbose = 0
    loud.logger.info("never")
    loud.logger.warning("a warning")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "[quiet] progress"),
        ("DEBUG", "[loud] detail 1"),
        ("INFO", "[loud] progress"),
        ("WARNING", "[loud] a warning"),
    ]
    assert caplog.records[0].filename == Path(__file__).name
    assert shared.level == level


def test_the_programs_own_threshold_counts_too(
    cluster: DockerCluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.verbose = 2
    monkeypatch.setattr(logging.getLogger("dockerparallel"), "level", logging.ERROR)
    cluster.logger.info("not wanted")
    try:
        int("no number")
    except ValueError:
        cluster.logger.exception("wanted")
    assert [record.getMessage() for record in caplog.records] == ["[DockerParallelQueue] wanted"]
    assert caplog.records[0].exc_info is not None


def test_messages_show_without_any_logging_set_up(
    cluster: DockerCluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    cluster.verbose = 1
    cluster.logger.info("progress")
    assert capsys.readouterr().err == "dockerparallel [DockerParallelQueue] progress\n"
    logging.getLogger().handlers = [logging.NullHandler()]
    cluster.logger.info("progress")
    assert capsys.readouterr().err == ""


def test_copies_share_nothing_that_changes() -> None:
    class Provider(MinimalProvider):
        def __init__(self) -> None:
            self.options: dict[str, list[int]] = {"a": [1]}
            self.alias = self.options
            self.lock = threading.Lock()

    provider = Provider()
    copied = provider.copy()
    copied.options["a"].append(2)
    assert provider.options == {"a": [1]}
    assert copied.alias is copied.options
    assert copied.lock is provider.lock, "what cannot be copied is shared"
    container = MemoryContainer(image="i", environment={"A": "1"}, command=["x"])
    changed = container.copy()
    changed.environment["B"] = "2"
    assert changed.command is not None
    changed.command.append("y")
    assert container == MemoryContainer(image="i", environment={"A": "1"}, command=["x"])


def test_a_copy_reaches_the_slots_of_a_derived_class() -> None:
    @dataclasses.dataclass(repr=False, slots=True)
    class Slotted(MemoryContainer):
        more: list[int] = dataclasses.field(default_factory=list)

    container = Slotted("image")
    container.copy().more.append(1)
    assert container.more == []


def test_container_fields_and_defaults() -> None:
    container = MemoryContainer("image")
    assert (container.name, container.backend, container.max_worker_num) == ("", "", 1)
    assert (container.environment, container.secrets, container.command) == ({}, {}, None)
    container.environment["A"], container.secrets["B"] = "1", "2"
    assert container.full_environment() == {"A": "1", "B": "2"}
    with pytest.raises(TypeError, match="image"):
        MemoryContainer()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="abstract"):
        DockerContainer("image")  # type: ignore[abstract]


def test_secrets_are_found_in_the_environment_or_in_files(tmp_path: Path) -> None:
    (tmp_path / "NAME").write_bytes(b"from a \xe2\x98\x83 file\r\n")
    folder = {"DOCKERPARALLEL_SECRETS_DIR": str(tmp_path)}
    assert read_secret("NAME", folder) == "from a \N{SNOWMAN} file\r\n"
    assert read_secret("NAME", {**folder, "NAME": "from a variable"}) == "from a variable"
    assert read_secret("OTHER", folder) is None
    assert read_secret("NAME", {"DOCKERPARALLEL_SECRETS_DIR": str(tmp_path / "NAME")}) is None


def test_deregistering_restores_joblibs_own_default(
    cluster: DockerCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stand-in, since the core's tests install no joblib; the real one is used in the
    # tests of the redis-queue container.
    joblib, parallel = ModuleType("joblib"), ModuleType("joblib.parallel")
    registered: list[Any] = []
    parallel.BACKENDS = {"loky": "factory"}  # type: ignore[attr-defined]
    joblib.register_parallel_backend = (  # type: ignore[attr-defined]
        lambda name, factory, make_default: registered.append((name, factory, make_default))
    )
    container = cluster.state.worker_container
    monkeypatch.delitem(sys.modules, "joblib", raising=False)
    DockerContainer.deregister_parallel_backend(container, cluster)
    monkeypatch.setitem(sys.modules, "joblib", joblib)
    monkeypatch.setitem(sys.modules, "joblib.parallel", parallel)
    DockerContainer.deregister_parallel_backend(container, cluster)
    assert registered == [("loky", "factory", True)]


def test_the_core_imports_only_itself_and_the_standard_library() -> None:
    allowed = {*sys.stdlib_module_names, "dockerparallel"}
    for path in Path(dockerparallel.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in allowed, f"{path.name} imports {name}"


def test_all_public_names_exist_and_errors_have_one_root() -> None:
    for name in dockerparallel.__all__:
        assert getattr(dockerparallel, name) is not None
        if name.endswith("Error") and name != "DockerParallelError":
            assert issubclass(getattr(dockerparallel, name), dockerparallel.DockerParallelError)
