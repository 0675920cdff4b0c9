"""Who is ours: process ids that are used again, zombies, processes that change their title."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_process_parts import TinyContainer, lives, wait_for

from dockerparallel import DockerCluster
from dockerparallel_local_process_provider import process_table
from dockerparallel_local_process_provider.process_table import Identity, sight, sight_all
from dockerparallel_local_process_provider.processes import (
    Target,
    end,
    how_it_ended,
    is_alive,
    spawn,
)

Make = Callable[..., DockerCluster]

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def innocent() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that is not ours, the leader of its own session."""
    with subprocess.Popen(SLEEP, start_new_session=True) as process:
        yield process
        process.kill()


def identity_of(pid: int) -> Identity:
    sighting = sight(pid)
    assert sighting is not None
    return sighting.identity


def test_a_number_with_another_start_is_another_process(
    innocent: subprocess.Popen[bytes],
) -> None:
    identity = identity_of(innocent.pid)
    assert is_alive(identity)
    recycled = identity._replace(started=identity.started + "0")
    assert not is_alive(recycled)
    assert end([Target(recycled, frozenset({b"DOCKERPARALLEL_PROCESS=x/worker-1"}))], 0.2) == [True]
    assert lives(innocent.pid)


def test_a_recycled_number_in_the_state_file_is_never_hit(
    make_cluster: Make, innocent: subprocess.Popen[bytes]
) -> None:
    cluster = make_cluster()
    cluster.start()
    with cluster.state.provider._deployment.changing(cluster) as (_, stored):  # type: ignore[attr-defined]
        mine = stored.workers[0].identity
        stored.workers[0].pid, stored.workers[0].started = innocent.pid, "1/1"
    assert cluster.worker_numbers().running == 0
    cluster.stop()
    assert lives(innocent.pid)
    # The clean-up found it by its signs.
    assert not is_alive(mine)


def test_a_zombie_is_dead(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    try:
        path = Path(f"/proc/{process.pid}/stat")
        wait_for("the zombie", lambda: path.read_bytes().rpartition(b")")[2].split()[0] == b"Z")
        assert not is_alive(identity_of(process.pid))
    finally:
        process.wait()


def test_children_are_reaped(tmp_path: Path) -> None:
    identity = spawn(
        [sys.executable, "-c", ""], environment={}, folder=tmp_path, log=tmp_path / "log"
    )
    # It may end between the reaping and the look; the next look reaps it then.
    wait_for("its end", lambda: not is_alive(identity) and sight(identity.pid) is None)


def test_children_that_the_program_has_reaped_are_dead(tmp_path: Path) -> None:
    identity = spawn(
        [sys.executable, "-c", ""], environment={}, folder=tmp_path, log=tmp_path / "log"
    )
    os.waitpid(identity.pid, 0)
    assert not is_alive(identity)


def test_a_process_without_its_environment_is_known_by_its_log(
    make_cluster: Make, innocent: subprocess.Popen[bytes]
) -> None:
    # As Redis, which writes its title over its environment; and its parent has died.
    program = f"""
import os, subprocess
child = subprocess.Popen({SLEEP!r}, env={{}}, start_new_session=True)
print(child.pid, flush=True)
os.kill(os.getpid(), {int(signal.SIGKILL)})
"""
    cluster = make_cluster(TinyContainer(program=program))
    cluster.start()
    text = wait_for("the child", lambda: cluster.cloud_provider.logs("worker-1").strip())
    child = int(text)
    wait_for("the end of the parent", lambda: cluster.worker_numbers().running == 0)
    try:
        assert lives(child)
        cluster.set_worker_number(0)
        assert not lives(child)
        assert lives(innocent.pid)
    finally:
        if lives(child):
            os.kill(child, signal.SIGKILL)


def test_many_groups_end_together(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(600)"
    log = tmp_path / "log"
    targets = [
        Target(spawn([sys.executable, "-uc", deaf], environment={}, folder=tmp_path, log=log))
        for _ in range(8)
    ]
    wait_for("all to be deaf", lambda: log.read_text(encoding="utf-8").count("1") == 8)
    assert end(targets, 0.3) == [True] * 8
    assert not any(is_alive(target.leader) for target in targets if target.leader)


def test_ending_nothing_is_no_work() -> None:
    assert end([], 1.0) == []


@pytest.mark.skipif(shutil.which("ps") is None, reason="ps is not installed")
def test_systems_without_proc_ask_ps(
    monkeypatch: pytest.MonkeyPatch, innocent: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    monkeypatch.setattr(process_table, "has_proc", lambda: False)
    found = {sighting.identity.pid: sighting for sighting in sight_all()}
    assert found[innocent.pid].group == innocent.pid
    assert sight(innocent.pid) == found[innocent.pid]
    family = [sys.executable, "-c", "import os, time; os.fork(); print(1); time.sleep(600)"]
    log = tmp_path / "log"
    environment = {"PYTHONUNBUFFERED": "1"}
    identity = spawn(family, environment=environment, folder=tmp_path, log=log)
    wait_for("both", lambda: log.read_text(encoding="utf-8").count("1") == 2)
    assert is_alive(identity)
    assert end([Target(identity)], 5.0) == [True]
    assert not is_alive(identity)
    assert lives(innocent.pid)
    assert sight(identity.pid) is None


def test_a_number_that_no_process_has() -> None:
    assert sight(2**22 + 1) is None


def test_the_exit_code_of_a_zombie_that_was_not_reaped_yet_is_known(tmp_path: Path) -> None:
    identity = spawn(
        [sys.executable, "-c", "raise SystemExit(7)"],
        environment=os.environ,
        folder=tmp_path,
        log=tmp_path / "log",
    )

    def is_zombie() -> bool:
        sighting = sight(identity.pid)
        return sighting is not None and sighting.zombie

    wait_for("the program to end", is_zombie)
    assert how_it_ended(identity) == "ended with exit code 7"
