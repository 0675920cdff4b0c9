"""What holds for every test of the workspace.

Each run has a runtime folder of its own, so that a developer's clusters are not touched, and
fails where it leaves a process or a runtime file behind. Tests marked ``docker`` need an engine.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.docker_engine import REQUIRE_VARIABLE, engine_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNTIME_VARIABLE = "XDG_RUNTIME_DIR"
# How long processes that were told to stop may take to be gone.
GRACE_SECONDS = 3.0

_environment = pytest.MonkeyPatch()


def pytest_configure() -> None:
    """Move the runtime folder of this run, and of every process that it starts."""
    _environment.setenv(RUNTIME_VARIABLE, tempfile.mkdtemp(prefix="dockerparallel-tests-"))


def pytest_unconfigure() -> None:
    """Remove the run's runtime folder and restore the environment."""
    shutil.rmtree(os.environ[RUNTIME_VARIABLE])
    _environment.undo()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a Docker test without an engine, or fail it where an engine is required."""
    if item.get_closest_marker("docker") is None or docker_answers():
        return
    if os.environ.get(REQUIRE_VARIABLE) == "1":
        pytest.fail(f"no Docker engine answers, and {REQUIRE_VARIABLE}=1", pytrace=False)
    pytest.skip("no Docker engine answers (nox -s docker_engine starts one on Debian, as root)")


@functools.cache
def docker_answers() -> bool:
    """Ask for the engine once in a run."""
    return engine_answers()


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Fail the run where, after all tests, a process or a runtime file of ours is left.

    A process is ours if its environment names the run's runtime folder, which every process
    that a test starts inherits. What is found is ended, so that the next run starts clean.
    """
    runtime = Path(os.environ[RUNTIME_VARIABLE])
    yield
    deadline = time.monotonic() + GRACE_SECONDS
    while (processes := processes_of(runtime)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    files = [str(path) for path in runtime.rglob("*") if not path.is_dir()]
    if processes or files:
        left = "\n".join([f"process {pid}: {line}" for pid, line in processes.items()] + files)
        pytest.fail(f"after all tests these are left:\n{left}", pytrace=False)


def processes_of(runtime: Path) -> dict[int, str]:
    """Return the command line of each other process whose environment names `runtime`."""
    needle = os.fsencode(runtime)
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        try:
            # A zombie's environment reads as empty: it is dead and only waits for its parent.
            if pid != os.getpid() and needle in (folder / "environ").read_bytes():
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found[pid] = line.decode(errors="replace").strip()
        except OSError:
            # It ended meanwhile, or belongs to another user.
            continue
    return found
