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
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # A shell that starts us in the background has it ignored, and so would our children.
        signal.signal(signal.SIGINT, signal.default_int_handler)


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

    What is found is ended, so that the next run starts clean.
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
    """Return the command line of each other process that a test of this run has started."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        try:
            # A zombie's command line is empty: it is dead and only waits for its parent.
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
            if line and pid != os.getpid() and belongs_to_run(folder, os.fsencode(runtime)):
                found[pid] = line.decode(errors="replace").strip()
        except OSError:
            # It ended meanwhile, or belongs to another user.
            continue
    return found


def belongs_to_run(process: Path, runtime: bytes) -> bool:
    """Tell whether a process is a child of ours, inherited our environment, or writes there.

    Where it writes counts because Redis overwrites its environment to change its title.
    """
    if runtime in (process / "environ").read_bytes():
        return True
    # The name in brackets can hold any character; then follow the state and the parent.
    stat = (process / "stat").read_bytes()
    if int(stat[stat.rindex(b")") + 1 :].split()[1]) == os.getpid():
        return True
    links = [process / "cwd", process / "fd" / "1", process / "fd" / "2"]
    return any(runtime in os.fsencode(link.readlink()) for link in links if link.is_symlink())
