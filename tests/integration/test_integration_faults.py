"""Workers and servers that are killed while they work."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joblib import Parallel, delayed

from dockerparallel import BrokenClusterError, DockerCluster, ServerNotRunningError

Eventually = Callable[..., Any]


def note_and_square(number: int, folder: str, seconds: float) -> int:
    """Leave a mark for each execution, so that a test sees who ran what."""
    Path(folder, f"{number}-{os.getpid()}").touch()
    time.sleep(seconds)
    return number * number


def die(_: object = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def workers_of(cluster: DockerCluster) -> list[int]:
    return [worker["pid"] for worker in cluster.worker_container.stats()["workers"]]


def test_every_result_arrives_once_although_workers_are_killed(
    cluster: DockerCluster, tmp_path: Path, eventually: Eventually
) -> None:
    delivered: list[int] = []
    with cluster.worker_container.executor() as executor:
        futures = [executor.submit(note_and_square, n, str(tmp_path), 0.05) for n in range(60)]
        for future in futures:
            future.add_done_callback(lambda done: delivered.append(done.result()))
        killed: set[int] = set()
        for marks in (4, 20, 36):
            eventually(
                lambda wanted=marks: len(list(tmp_path.iterdir())) >= wanted, "tasks that run"
            )
            alive = eventually(lambda: set(workers_of(cluster)) - killed, "a living worker")
            victim = alive.pop()
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
        assert [future.result(60) for future in futures] == [n * n for n in range(60)]
    assert sorted(delivered) == [n * n for n in range(60)]
    assert len(killed) == 3
    assert len(list(tmp_path.iterdir())) > 60, "no killed task ran again: nothing was tested"


def test_joblib_survives_a_killed_worker(
    cluster: DockerCluster, tmp_path: Path, eventually: Eventually
) -> None:
    results: Any = Parallel(return_as="generator")(
        delayed(note_and_square)(n, str(tmp_path), 0.05) for n in range(40)
    )
    assert next(results) == 0
    os.kill(eventually(lambda: workers_of(cluster), "a worker")[0], signal.SIGKILL)
    assert list(results) == [n * n for n in range(1, 40)]


def test_a_task_that_kills_its_workers_fails_and_the_others_finish(
    cluster: DockerCluster,
) -> None:
    with cluster.worker_container.executor() as executor:
        deadly = executor.submit(die)
        harmless = [executor.submit(abs, -n) for n in range(10)]
        error = deadly.exception(60)
        assert "SIGKILL" in str(error)
        assert [future.result(60) for future in harmless] == list(range(10))


def test_a_worker_container_killed_whole_comes_back_by_update(
    cluster: DockerCluster, eventually: Eventually
) -> None:
    handles = cluster.state.provider.worker_handles()  # type: ignore[attr-defined]
    assert len(handles) == 2
    victim = workers_of(cluster)[0]
    group = os.getpgid(victim)
    os.killpg(group, signal.SIGKILL)
    eventually(lambda: cluster.worker_numbers().running == 1, "the death to be noticed")
    cluster.update()
    assert cluster.worker_numbers().running == 2
    eventually(
        lambda: victim not in workers_of(cluster) and len(workers_of(cluster)) == 2,
        "two living workers",
    )


def server_process(cluster: DockerCluster, processes_with: Callable[[str], dict[int, str]]) -> int:
    name = cluster.config.job_queue_name
    # The server is the one process of the cluster that is no Python program.
    [pid] = [p for p, line in processes_with(name).items() if "-server" in line.split()[0]]
    return pid


def test_a_killed_server_fails_every_future_and_stop_ends_the_workers(
    cluster: DockerCluster,
    processes_with: Callable[[str], dict[int, str]],
    eventually: Eventually,
) -> None:
    executor = cluster.worker_container.executor()
    futures = [executor.submit(time.sleep, 30) for _ in range(4)]
    eventually(lambda: any(future.running() for future in futures), "a task to run")
    os.kill(server_process(cluster, processes_with), signal.SIGKILL)
    for future in futures:
        with pytest.raises(BrokenClusterError, match="server"):
            future.result(30)
    with pytest.raises(BrokenClusterError):
        executor.submit(abs, 1)
    assert not cluster.is_server_running()
    with pytest.raises(ServerNotRunningError):
        cluster.register_backend()
    assert processes_with(cluster.config.job_queue_name)
    cluster.stop()
    assert processes_with(cluster.config.job_queue_name) == {}
    cluster.start()
    assert Parallel()(delayed(abs)(-n) for n in range(4)) == [0, 1, 2, 3]


def test_a_killed_server_ends_a_joblib_call(
    cluster: DockerCluster,
    processes_with: Callable[[str], dict[int, str]],
) -> None:
    results: Any = Parallel(return_as="generator", batch_size=1, pre_dispatch="all")(
        delayed(time.sleep)(n / 10) for n in range(60)
    )
    assert next(results) is None
    os.kill(server_process(cluster, processes_with), signal.SIGKILL)
    with pytest.raises(BrokenClusterError):
        list(results)
