"""The joblib backend on real workers."""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
from joblib import Parallel, delayed
from redis_queue_harness import Server, Site, cluster_on, until

from dockerparallel import BrokenClusterError, DockerCluster
from dockerparallel_redis_queue_container import settings


@pytest.fixture
def cluster(site: Site) -> Iterator[DockerCluster]:
    """Register a cluster with two workers."""
    site.start_workers(2)
    with cluster_on(site, worker_number=2) as cluster:
        yield cluster


def wait_for_file(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def fail_at(number: int, bad: int, go_on: Path) -> int:
    if number == bad:
        raise ValueError(f"number {number}")
    if number > bad:
        wait_for_file(go_on)
    return number


def test_a_plain_parallel_runs_on_the_cluster(cluster: DockerCluster, site: Site) -> None:
    pids = set(Parallel()(delayed(os.getpid)() for _ in range(20)))
    assert pids <= {worker["pid"] for worker in site.queue().workers()}
    assert Parallel()(delayed(pow)(n, 2) for n in range(100)) == [n * n for n in range(100)]


def test_a_cluster_of_one_worker_computes_there_too(cluster: DockerCluster, site: Site) -> None:
    cluster.config.expected_worker_number = 1
    assert joblib.effective_n_jobs(-1) == 1
    pids = set(Parallel(n_jobs=-1)(delayed(os.getpid)() for _ in range(4)))
    with Parallel(n_jobs=-1) as parallel:
        pids |= set(parallel(delayed(os.getpid)() for _ in range(4)))
    assert os.getpid() not in pids


def test_one_job_is_done_here(cluster: DockerCluster) -> None:
    assert set(Parallel(n_jobs=1)(delayed(os.getpid)() for _ in range(4))) == {os.getpid()}


@pytest.mark.parametrize(
    ("asked", "workers", "given"),
    [(None, 4, 4), (-1, 4, 4), (-2, 4, 3), (-9, 4, 1), (3, 4, 3), (9, 4, 9), (-1, 0, 1), (1, 4, 1)],
)
def test_the_number_of_jobs_follows_the_workers(
    cluster: DockerCluster, asked: Any, workers: int, given: int
) -> None:
    cluster.config.expected_worker_number = workers
    assert joblib.effective_n_jobs(asked) == given or asked is None
    backend = joblib.parallel.BACKENDS["redis-queue"](nesting_level=0)
    assert backend.effective_n_jobs(asked) == given


def test_no_jobs_are_refused(cluster: DockerCluster) -> None:
    with pytest.raises(ValueError, match="n_jobs"):
        Parallel(n_jobs=0)(delayed(abs)(1) for _ in range(2))


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_generators_give_results_as_they_come(cluster: DockerCluster, return_as: str) -> None:
    results: Any = Parallel(return_as=return_as)(delayed(abs)(-n) for n in range(50))
    assert sorted(results) == list(range(50))


def test_a_generator_does_not_wait_for_the_slowest(cluster: DockerCluster, tmp_path: Path) -> None:
    calls = [delayed(wait_for_file)(tmp_path / "go")] + [delayed(abs)(n) for n in range(10)]
    results: Any = Parallel(return_as="generator_unordered", batch_size=1)(calls)
    assert [next(results) for _ in range(10)] == list(range(10))
    (tmp_path / "go").touch()
    assert list(results) == [None]


@pytest.mark.parametrize("pre_dispatch", ["all", 3, "n_jobs"])
@pytest.mark.parametrize("batch_size", ["auto", 7])
def test_dispatching_and_batching_change_no_result(
    cluster: DockerCluster, batch_size: Any, pre_dispatch: Any
) -> None:
    parallel = Parallel(batch_size=batch_size, pre_dispatch=pre_dispatch)
    assert parallel(delayed(abs)(-n) for n in range(60)) == list(range(60))


def test_an_exception_ends_the_call_and_the_next_one_works(
    cluster: DockerCluster, site: Site, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="number 3"):
        Parallel(batch_size=1, pre_dispatch="all")(
            delayed(fail_at)(n, 3, tmp_path / "go") for n in range(500)
        )
    (tmp_path / "go").touch()
    until(lambda: site.queue().numbers().sizes == {"waiting": 0, "running": 0}, "no tasks")
    # Three before it, and one or two that each worker had begun.
    assert site.counts()["done"] < 10
    # A new object: joblib itself may keep batches of the failed call in the old one.
    assert Parallel()(delayed(abs)(-n) for n in range(5)) == list(range(5))


def test_a_timeout_ends_the_call(cluster: DockerCluster, tmp_path: Path) -> None:
    # The one of multiprocessing, which joblib raises for all its backends.
    with pytest.raises(multiprocessing.TimeoutError):
        Parallel(timeout=0.2)(delayed(wait_for_file)(tmp_path / "go") for _ in range(2))
    (tmp_path / "go").touch()
    assert Parallel()(delayed(abs)(-n) for n in range(5)) == list(range(5))


def test_a_reused_parallel_object_keeps_working(cluster: DockerCluster) -> None:
    with Parallel(n_jobs=2) as parallel:
        for _ in range(3):
            assert parallel(delayed(abs)(-n) for n in range(10)) == list(range(10))


def inner(number: int) -> tuple[int, set[int]]:
    pids = Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(4))
    return os.getpid(), set(pids)


def test_a_nested_call_stays_in_its_worker(cluster: DockerCluster) -> None:
    for pid, inner_pids in Parallel()(delayed(inner)(n) for n in range(6)):
        assert inner_pids == {pid}


def test_what_cannot_be_pickled_ends_the_call(cluster: DockerCluster) -> None:
    import threading

    with pytest.raises(TypeError, match="pickle"):
        Parallel()(delayed(id)(threading.Lock()) for _ in range(4))
    # Also in the middle of a call, where joblib dispatches from its callbacks.
    calls = [delayed(id)(1)] * 10 + [delayed(id)(threading.Lock())]
    with pytest.raises(TypeError, match="pickle"):
        Parallel(batch_size=1, pre_dispatch=2)(calls)


def test_the_backend_can_be_named(cluster: DockerCluster, site: Site) -> None:
    pids = {worker["pid"] for worker in site.queue().workers()}
    with joblib.parallel_config(backend="redis-queue"):
        assert set(Parallel()(delayed(os.getpid)() for _ in range(4))) <= pids
    found = Parallel(backend="redis-queue")(delayed(os.getpid)() for _ in range(4))
    assert set(found) <= pids


def test_threads_are_given_to_who_asks_for_them(cluster: DockerCluster) -> None:
    found = Parallel(n_jobs=2, require="sharedmem")(delayed(os.getpid)() for _ in range(4))
    assert set(found) == {os.getpid()}


def test_killing_the_server_ends_the_call(own_server: Server, tmp_path: Path) -> None:
    site = Site(own_server, tmp_path)
    try:
        site.start_workers(1, {settings.SERVER_WAIT: "1"})
        cluster = cluster_on(site, worker_number=2)
        cluster.start_server()
        cluster.register_backend(server_timeout=1)
        results: Any = Parallel(return_as="generator")(
            delayed(wait_for_file)(tmp_path / "go") for _ in range(10)
        )
        own_server.kill()
        with pytest.raises(BrokenClusterError):
            list(results)
        (tmp_path / "go").touch()
        with pytest.raises(BrokenClusterError):
            Parallel()(delayed(abs)(n) for n in range(10))
        cluster.stop()
    finally:
        site.close()


def noticed(function: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        function()
    return [str(warning.message) for warning in found]


def test_ordinary_use_warns_of_nothing(cluster: DockerCluster) -> None:
    assert noticed(lambda: Parallel()(delayed(abs)(n) for n in range(20))) == []
