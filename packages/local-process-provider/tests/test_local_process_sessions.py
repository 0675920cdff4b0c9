"""Several Python sessions and one cluster: reconnecting, crashing, forking, leaving."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from local_process_parts import (
    TinyContainer,
    lives,
    pid_of,
    pids,
    run_session,
    session,
    wait_for,
)

from dockerparallel import (
    ClusterExistsError,
    DockerCluster,
    StaticDataError,
    WorkerNumbers,
)
from dockerparallel_local_process_provider import LocalProcessProvider

Make = Callable[..., DockerCluster]

PREPARE = """
import os, sys
from dockerparallel import DockerCluster
from local_process_parts import FAMILY, TinyContainer, pid_of, pids, some_port
def cluster_of(container=TinyContainer(), **options):
    options = {"provider": "local-process", "verbose": 0, **options}
    cluster = DockerCluster(worker_container=container, **options)
    cluster.config.server_port = some_port()
    return cluster
"""

START_AND_LEAVE = """
container = TinyContainer(program=FAMILY, environment={"A": "1"}, max_worker_num=2)
cluster = cluster_of(container=container, worker_number=2, stop_on_exit=False)
cluster.start()
print(*pids(cluster, "worker-1", 2), pid_of(cluster, "server"))
"""


def start_elsewhere(script: str = START_AND_LEAVE) -> list[int]:
    """Start a cluster in a session that ends, and return its process ids."""
    return [int(word) for word in run_session(PREPARE + script).split()]


def test_another_session_takes_over_a_cluster(make_cluster: Make) -> None:
    processes = start_elsewhere()
    assert all(lives(pid) for pid in processes)
    cluster = make_cluster(TinyContainer(), worker_number=9)
    assert cluster.exists()
    cluster.reconnect()
    assert cluster.is_server_running()
    assert cluster.worker_numbers() == WorkerNumbers(0, 2, 2)
    container = cluster.state.worker_container
    assert (container.environment, container.max_worker_num) == ({"A": "1"}, 2)
    cluster.set_worker_number(3)
    assert cluster.worker_numbers().running == 3
    assert sorted(pids(cluster, "worker-1", 2)) == sorted(processes[:2])
    cluster.stop()
    assert not any(lives(pid) for pid in processes)


def test_a_cluster_that_exists_is_not_started_over(make_cluster: Make) -> None:
    start_elsewhere()
    cluster = make_cluster()
    with pytest.raises(ClusterExistsError):
        cluster.start(if_exists="error")
    cluster.start(if_exists="reconnect")
    assert cluster.worker_numbers().running == 2


def test_a_new_cluster_takes_the_place_of_the_old(make_cluster: Make) -> None:
    processes = start_elsewhere()
    cluster = make_cluster()
    cluster.start(if_exists="new")
    assert not any(lives(pid) for pid in processes)
    assert cluster.worker_numbers().running == 1


def test_two_sessions_see_the_same_workers(make_cluster: Make) -> None:
    first = make_cluster(worker_number=3)
    first.start()
    second = make_cluster()
    second.reconnect()
    second.set_worker_number(1)
    assert first.worker_numbers().running == 1
    first.set_worker_number(4)
    assert second.worker_numbers().running == 4
    second.stop()
    assert first.worker_numbers().running == 0
    assert not first.is_server_running()


def test_an_old_handle_does_not_touch_a_new_cluster_of_the_name(make_cluster: Make) -> None:
    old, new = make_cluster(), make_cluster(worker_number=2)
    old.start()
    new.start(if_exists="new")
    assert not old.is_server_running()
    old.stop()
    old.set_worker_number(0)
    assert new.is_server_running()
    assert new.worker_numbers().running == 2


def test_two_sessions_cannot_start_one_name_at_once(make_cluster: Make) -> None:
    first, second = make_cluster(), make_cluster()
    assert not second.exists()
    first.start()
    provider, state = second.state.provider, second.state
    server = TinyContainer().configure_server_env(second)
    with pytest.raises(ClusterExistsError, match="Another session runs a cluster"):
        provider.run_server(second, server, state.config.server_hardware)
    assert first.is_server_running()


CRASH = """
cluster = cluster_of(container=TinyContainer(program=FAMILY))
cluster.start()
print(*pids(cluster, "worker-1", 2), pid_of(cluster, "server"), flush=True)
os.kill(os.getpid(), 9)
"""


def crash() -> list[int]:
    """Start a cluster in a session that is killed, and return its process ids."""
    with session(PREPARE + CRASH) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    return [int(word) for word in output.split()]


def test_what_a_crashed_session_has_left_can_be_removed(runtime: Path) -> None:
    processes = crash()
    provider = LocalProcessProvider()
    (found,) = provider.list_clusters()
    assert (found.name, found.server_pid) == ("DockerParallelQueue", processes[-1])
    assert (found.worker_number, found.readable) == (1, True)
    provider.remove_cluster("DockerParallelQueue")
    assert not any(lives(pid) for pid in processes)
    assert provider.list_clusters() == []
    provider.remove_cluster("DockerParallelQueue")


def test_leftovers_of_which_nothing_lives_do_not_count(make_cluster: Make, runtime: Path) -> None:
    for pid in crash():
        os.kill(pid, signal.SIGKILL)
    cluster = make_cluster()
    wait_for("the end of the old cluster", lambda: not cluster.exists())
    assert len(LocalProcessProvider().list_clusters()) == 1
    cluster.start(if_exists="error")
    assert cluster.worker_numbers().running == 1


def test_cleanup_removes_what_a_crash_has_left(make_cluster: Make, runtime: Path) -> None:
    for pid in crash():
        os.kill(pid, signal.SIGKILL)
    cluster = make_cluster()
    wait_for("the end of the old cluster", lambda: not cluster.exists())
    cluster.cleanup()
    assert LocalProcessProvider().list_clusters() == []


def test_orphans_of_a_crashed_cluster_are_ended_by_the_next_of_its_name(
    make_cluster: Make,
) -> None:
    child, parent, server = crash()[:3]
    leader = max((child, parent), key=lambda pid: os.getpgid(pid) == pid)
    (orphan,) = {child, parent} - {leader}
    os.kill(leader, signal.SIGKILL)
    os.kill(server, signal.SIGKILL)
    cluster = make_cluster()
    wait_for("the end of the old cluster", lambda: not cluster.exists())
    assert lives(orphan)
    cluster.start(if_exists="error")
    assert not lives(orphan)


def test_deep_cleanup_removes_leftovers_of_other_names(make_cluster: Make, runtime: Path) -> None:
    alive = make_cluster(job_queue_name="alive")
    alive.start()
    for pid in crash():
        os.kill(pid, signal.SIGKILL)
    other = make_cluster(job_queue_name="other")
    wait_for("the end of the old cluster", lambda: not make_cluster().exists())
    other.cleanup()
    assert len(LocalProcessProvider().list_clusters()) == 2
    other.cleanup(deep=True)
    assert [found.name for found in LocalProcessProvider().list_clusters()] == ["alive"]
    assert alive.worker_numbers().running == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"format": 1, "server": nu', "is damaged"),
        ('{"format": 99}', "has format 99, not 1"),
        ("[]", "is damaged"),
        ('{"format": 1, "server": {"pid": 1}, "workers": []}', "is damaged"),
    ],
)
def test_a_state_that_cannot_be_read_is_named_and_can_be_removed(
    make_cluster: Make, runtime: Path, text: str, reason: str
) -> None:
    cluster = make_cluster()
    cluster.start()
    processes = [pid_of(cluster, "server"), pid_of(cluster, "worker-1")]
    file = runtime / "dockerparallel/local-process/DockerParallelQueue/state.json"
    file.write_text(text, encoding="utf-8")
    provider = LocalProcessProvider()
    with pytest.raises(StaticDataError, match=reason) as caught:
        cluster.exists()
    assert str(file) in str(caught.value)
    assert "remove_cluster('DockerParallelQueue')" in str(caught.value)
    assert [found.readable for found in provider.list_clusters()] == [False]
    provider.remove_cluster("DockerParallelQueue")
    assert not any(lives(pid) for pid in processes)


def test_leaving_the_interpreter_stops_the_cluster() -> None:
    script = 'cluster = cluster_of()\ncluster.start()\nprint(pid_of(cluster, "server"))\n'
    assert not any(lives(pid) for pid in start_elsewhere(script))


def test_a_forked_child_leaves_the_cluster_and_its_processes(make_cluster: Make) -> None:
    script = """
cluster = cluster_of()
cluster.start()
os.kill(pid_of(cluster, "worker-1"), 9)
child = os.fork()
if child == 0:
    while cluster.worker_numbers().running:
        pass
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert cluster.is_server_running()
cluster.update()
assert cluster.worker_numbers().running == 1
print(pid_of(cluster, "server"))
"""
    assert not any(lives(pid) for pid in start_elsewhere(script))
