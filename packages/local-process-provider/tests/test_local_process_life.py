"""A cluster of plain processes: starting, scaling, dying, stopping."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from local_process_parts import (
    FAMILY,
    TinyContainer,
    environment_of,
    lives,
    pid_of,
    pids,
    wait_for,
)

from dockerparallel import (
    Capability,
    DockerCluster,
    InvalidValueError,
    ProviderError,
    ServerNotRunningError,
    WorkerNumbers,
)
from dockerparallel_local_process_provider import LocalProcessProvider
from dockerparallel_local_process_provider.process_table import Identity
from dockerparallel_local_process_provider.processes import spawn

Make = Callable[..., DockerCluster]


def test_start_and_stop(make_cluster: Make) -> None:
    cluster = make_cluster(worker_number=2)
    cluster.start()
    processes = [pid_of(cluster, name) for name in ("server", "worker-1", "worker-2")]
    assert cluster.is_server_running()
    assert cluster.worker_numbers() == WorkerNumbers(0, 2, 2)
    assert all(os.getsid(pid) == os.getpgid(pid) == pid for pid in processes)
    cluster.stop()
    assert not any(lives(pid) for pid in processes)
    assert not cluster.exists()


def test_a_stopped_cluster_starts_again(make_cluster: Make) -> None:
    cluster = make_cluster()
    for _ in range(2):
        cluster.start()
        assert cluster.worker_numbers().running == 1
        cluster.stop()
        assert not cluster.is_server_running()


def test_scaling_up_and_down(make_cluster: Make) -> None:
    cluster = make_cluster(worker_number=1)
    cluster.start()
    oldest = pid_of(cluster, "worker-1")
    cluster.set_worker_number(4)
    assert cluster.worker_numbers().running == 4
    cluster.set_worker_number(1)
    assert cluster.worker_numbers().running == 1
    assert lives(oldest)


def test_a_group_is_ended_with_its_children(make_cluster: Make) -> None:
    cluster = make_cluster(TinyContainer(program=FAMILY))
    cluster.start()
    family = pids(cluster, "worker-1", 2)
    cluster.set_worker_number(0)
    assert not any(lives(pid) for pid in family)


def test_a_child_in_a_session_of_its_own_is_ended_too(make_cluster: Make) -> None:
    program = FAMILY.replace("child = os.fork()", "child = os.fork() or os.setsid()")
    program = program.replace("child == 0", "child is None")
    cluster = make_cluster(TinyContainer(program=program))
    cluster.start()
    family = pids(cluster, "worker-1", 2)
    assert len({os.getsid(pid) for pid in family}) == 2
    cluster.set_worker_number(0)
    assert not any(lives(pid) for pid in family)


def test_who_ignores_sigterm_is_killed(make_cluster: Make) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + FAMILY
    cluster = make_cluster(TinyContainer(program=deaf), timeout=0.2)
    cluster.start()
    family = pids(cluster, "worker-1", 2)
    cluster.stop()
    assert not any(lives(pid) for pid in family)


def test_a_killed_worker_comes_back(make_cluster: Make) -> None:
    cluster = make_cluster(worker_number=2)
    cluster.start()
    os.kill(pid_of(cluster, "worker-1"), signal.SIGKILL)
    wait_for("the death to be seen", lambda: cluster.worker_numbers().running == 1)
    cluster.update()
    assert cluster.worker_numbers().running == 2
    assert set(cluster.cloud_provider.log_files()) == {
        *("server", "worker-1", "worker-2", "worker-3")
    }


def test_children_that_outlive_their_leader_are_ended(make_cluster: Make) -> None:
    cluster = make_cluster(TinyContainer(program=FAMILY))
    cluster.start()
    family = pids(cluster, "worker-1", 2)
    leader = pid_of(cluster, "worker-1")
    os.kill(leader, signal.SIGKILL)
    wait_for("the death to be seen", lambda: cluster.worker_numbers().running == 0)
    (orphan,) = set(family) - {leader}
    assert lives(orphan)
    cluster.update()
    assert not lives(orphan)


def test_a_worker_that_ends_by_itself_is_reported_once(
    make_cluster: Make, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = make_cluster(TinyContainer(program="print('no licence'); raise SystemExit(3)"))
    cluster.start()
    wait_for("the death to be seen", lambda: cluster.worker_numbers().running == 0)
    cluster.worker_numbers()
    messages = [record.getMessage() for record in caplog.records]
    (message,) = [message for message in messages if "worker-1" in message]
    assert "ended with exit code 3" in message
    assert "no licence" in message


def test_a_server_that_ends_at_once_is_reported(
    make_cluster: Make, caplog: pytest.LogCaptureFixture
) -> None:
    container = TinyContainer(server_program="raise RuntimeError('cannot bind')")
    cluster = make_cluster(container)
    with pytest.raises(ServerNotRunningError, match="RuntimeError: cannot bind") as caught:
        cluster.start()
    assert "ended with exit code 1" in str(caught.value)
    assert caplog.text.count("RuntimeError: cannot bind") == 1
    assert not cluster.exists()


def test_workers_are_ended_when_the_server_has_died(
    make_cluster: Make, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = make_cluster(worker_number=2)
    cluster.start()
    workers = [pid_of(cluster, name) for name in ("worker-1", "worker-2")]
    os.kill(pid_of(cluster, "server"), signal.SIGKILL)
    wait_for("the death to be seen", lambda: not cluster.is_server_running())
    assert "was killed by SIGKILL" in caplog.text
    cluster.stop()
    assert not any(lives(pid) for pid in workers)


def test_a_server_that_has_died_is_started_again_for_the_same_workers(make_cluster: Make) -> None:
    cluster = make_cluster()
    cluster.start()
    worker = pid_of(cluster, "worker-1")
    port = cluster.config.server_port
    os.kill(pid_of(cluster, "server"), signal.SIGKILL)
    wait_for("the death to be seen", lambda: not cluster.is_server_running())
    cluster.start_server()
    wait_for("the new server", cluster.is_server_running)
    assert cluster.config.server_port == port
    assert pid_of(cluster, "worker-1") == worker


@pytest.mark.parametrize(("number", "expected"), [(3, [3]), (7, [3, 3, 1]), (2, [2])])
def test_workers_share_a_process_group(
    make_cluster: Make, number: int, expected: list[int]
) -> None:
    cluster = make_cluster(TinyContainer(max_worker_num=3), worker_number=number)
    cluster.start()
    handles = [f"worker-{index + 1}" for index in range(len(expected))]
    told = [environment_of(pid_of(cluster, handle))["WORKERS"] for handle in handles]
    assert [int(text) for text in told] == expected
    assert cluster.worker_numbers() == WorkerNumbers(0, number, number)


def test_shrinking_ends_whole_groups_only(make_cluster: Make) -> None:
    cluster = make_cluster(TinyContainer(max_worker_num=2), worker_number=4)
    cluster.start()
    cluster.set_worker_number(3)
    assert cluster.worker_numbers().running == 4
    cluster.set_worker_number(2)
    assert cluster.worker_numbers().running == 2


def test_a_container_without_a_command_is_refused(make_cluster: Make) -> None:
    class Bare(TinyContainer):
        def configure_server_env(self, cluster: DockerCluster) -> Bare:
            return self.copy()

    cluster = make_cluster(TinyContainer(), server_container=Bare())
    with pytest.raises(InvalidValueError, match=r"Bare\(.*\) has the command None"):
        cluster.start()


def test_a_program_that_is_not_there_is_named(make_cluster: Make) -> None:
    class Missing(TinyContainer):
        def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Missing:
            container = super().configure_worker_env(cluster, worker_number)
            container.command = ["no-such-program", "--fast"]
            return container

    with pytest.raises(ProviderError, match="'no-such-program' could not be started"):
        make_cluster(Missing()).start()


def test_what_was_started_before_a_failure_is_known(
    make_cluster: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = make_cluster()
    cluster.start()
    started: list[Identity] = []

    def spawn_twice(*arguments: Any, **options: Any) -> Identity:
        if len(started) == 2:
            raise ProviderError("no more processes")
        started.append(spawn(*arguments, **options))
        return started[-1]

    monkeypatch.setattr("dockerparallel_local_process_provider.launch.spawn", spawn_twice)
    with pytest.raises(ProviderError, match="no more processes"):
        cluster.set_worker_number(5)
    assert cluster.worker_numbers().running == 3
    cluster.stop()
    assert not any(lives(identity.pid) for identity in started)


def test_all_of_the_contract_is_claimed() -> None:
    assert LocalProcessProvider.claimed_capabilities() == {
        Capability.SERVER_STATUS,
        Capability.WORKER_NUMBERS,
        Capability.RECONNECT,
        Capability.CLEANUP,
        Capability.SHARED_CONTAINERS,
        Capability.SECRET_CHANNEL,
    }
