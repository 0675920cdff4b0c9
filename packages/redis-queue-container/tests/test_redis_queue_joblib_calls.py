"""Calls of `joblib.Parallel` on real workers: how many tasks at once, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
from joblib import Parallel, delayed, parallel_config
from redis_queue_harness import Site, cluster_on, until

from dockerparallel import DockerCluster


@pytest.fixture
def cluster(site: Site) -> Iterator[DockerCluster]:
    """Register a cluster with three workers."""
    site.start_workers(3)
    with cluster_on(site, worker_number=3) as cluster:
        yield cluster


def wait_for_file(path: Path, value: int = 0) -> int:
    while not path.exists():
        time.sleep(0.01)
    return value


def begin_and_wait(folder: Path, number: int) -> int:
    (folder / f"begun-{number}").touch()
    return wait_for_file(folder / "go", number)


def begun(folder: Path) -> int:
    return len(list(folder.glob("begun-*")))


@pytest.mark.parametrize("n_jobs", [2, -2])
def test_fewer_jobs_than_workers_are_a_limit(
    cluster: DockerCluster, site: Site, tmp_path: Path, n_jobs: int
) -> None:
    results: Any = Parallel(n_jobs=n_jobs, pre_dispatch="all", batch_size=1, return_as="generator")(
        delayed(begin_and_wait)(tmp_path, number) for number in range(8)
    )
    until(lambda: begun(tmp_path) == 2, "two calls to begin")
    # An idle worker would have begun another one if it were in the queue.
    assert site.queue().numbers().sizes == {"waiting": 0, "running": 2}
    (tmp_path / "go").touch()
    assert list(results) == list(range(8))


@pytest.mark.parametrize("n_jobs", [3, 50, -1, None])
def test_as_many_jobs_as_workers_use_all_of_them(
    cluster: DockerCluster, tmp_path: Path, n_jobs: int | None
) -> None:
    results: Any = Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator")(
        delayed(begin_and_wait)(tmp_path, number) for number in range(3)
    )
    until(lambda: begun(tmp_path) == 3, "three calls to begin")
    (tmp_path / "go").touch()
    assert list(results) == [0, 1, 2]


def fail(number: int) -> None:
    raise LookupError(number)


def test_a_limited_call_fails_and_the_next_one_works(cluster: DockerCluster) -> None:
    parallel = Parallel(n_jobs=2, batch_size=1, pre_dispatch="all")
    for _ in range(5):
        with pytest.raises(LookupError, match="0"):
            parallel(delayed(fail)(0) for _ in range(1000))
        assert parallel(delayed(abs)(-n) for n in range(100)) == list(range(100))
        with pytest.raises(pickle.PicklingError):
            parallel(delayed(id)(sys._getframe()) for _ in range(1000))
        assert parallel(delayed(abs)(-n) for n in range(100)) == list(range(100))


@pytest.mark.parametrize(("pre_dispatch", "pulled"), [("2*n_jobs", 6), (5, 5), ("all", 40)])
def test_the_iterator_is_read_as_far_as_asked(
    cluster: DockerCluster, tmp_path: Path, pre_dispatch: Any, pulled: int
) -> None:
    read = []

    def source() -> Iterator[Any]:
        for number in range(40):
            read.append(number)
            yield delayed(wait_for_file)(tmp_path / "go", number)

    results: Any = Parallel(
        n_jobs=3, pre_dispatch=pre_dispatch, batch_size=1, return_as="generator"
    )(source())
    assert len(read) == pulled
    (tmp_path / "go").touch()
    assert list(results) == list(range(40))


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
@pytest.mark.parametrize(
    ("batch_size", "number", "most"), [(50, 100_000, 10_000), ("auto", 300_000, 100_000)]
)
def test_a_long_call_has_few_of_its_tasks_in_memory(
    cluster: DockerCluster, return_as: str, batch_size: Any, number: int, most: int
) -> None:
    pulled, worst, total = 0, 0, 0

    def source() -> Iterator[Any]:
        nonlocal pulled
        for value in range(number):
            pulled += 1
            yield delayed(abs)(-value)

    results: Any = Parallel(n_jobs=2, return_as=return_as, batch_size=batch_size)(source())
    for yielded, result in enumerate(results, 1):
        worst = max(worst, pulled - yielded)
        total += result
    assert total == number * (number - 1) // 2
    assert worst < most


@pytest.mark.parametrize(
    ("return_as", "seconds", "expected"),
    [
        ("list", 0.001, [1, 200, 40_000, 65_536, 65_536]),
        ("generator", 0.001, [1, 200, 4096, 4096, 4096]),
        # More than a step may do.
        ("list", 0.0001, [1, 256, 65_536, 65_536, 65_536]),
        # Short, but not far too short: as joblib does it.
        ("list", 0.05, [1, 2, 4, 8, 16]),
    ],
)
def test_batches_grow_quickly_and_not_for_ever(
    cluster: DockerCluster, return_as: str, seconds: float, expected: list[int]
) -> None:
    backend: Any = joblib.parallel.BACKENDS["redis-queue"](nesting_level=0)
    backend.configure(n_jobs=2, parallel=Parallel(n_jobs=2, return_as=return_as))
    sizes = []
    for _ in expected:
        sizes.append(backend.compute_batch_size())
        backend.batch_completed(sizes[-1], seconds)
    assert sizes == expected
    backend.terminate()
    assert backend.compute_batch_size() == 1


def wait_for_ever(folder: Path) -> None:
    (folder / f"begun-{os.getpid()}").touch()
    try:
        wait_for_file(folder / "never")
    finally:
        (folder / f"ended-{os.getpid()}").touch()


def pids_of(site: Site) -> set[int]:
    return {worker["pid"] for worker in site.queue().workers()}


def ended(folder: Path) -> int:
    return len(list(folder.glob("ended-*")))


def test_a_dropped_generator_ends_its_calls_alone(
    cluster: DockerCluster, site: Site, tmp_path: Path
) -> None:
    before = pids_of(site)
    with parallel_config(backend="redis-queue", n_jobs=2):
        dropped: Any = Parallel(return_as="generator")(
            delayed(wait_for_ever)(tmp_path) for _ in range(20)
        )
        kept: Any = Parallel(return_as="generator")(
            delayed(wait_for_file)(tmp_path / "go", number) for number in range(5)
        )
        until(lambda: begun(tmp_path) == 2, "two calls to begin")
        with pytest.warns(UserWarning, match="have been cancelled"):
            dropped.close()
        (tmp_path / "go").touch()
        assert list(kept) == list(range(5))
    until(lambda: ended(tmp_path) == 2, "the calls that had begun to be broken off")
    until(lambda: site.queue().numbers().sizes == {"waiting": 0, "running": 0}, "no tasks")
    assert begun(tmp_path) == 2
    # The workers that ran them are replaced, and nobody takes that for deaths.
    until(lambda: len(pids_of(site)) == 3 and len(pids_of(site) & before) == 1, "new workers")
    assert site.counts().get("died", 0) == 0
    assert Parallel()(delayed(abs)(-n) for n in range(30)) == list(range(30))


def test_a_timeout_frees_the_workers(cluster: DockerCluster, tmp_path: Path) -> None:
    parallel = Parallel(n_jobs=3, timeout=0.5)
    # The one of multiprocessing, which joblib raises for all its backends.
    with pytest.raises(multiprocessing.TimeoutError):
        parallel(delayed(wait_for_ever)(tmp_path) for _ in range(6))
    parallel.timeout = None
    assert parallel(delayed(abs)(-n) for n in range(30)) == list(range(30))


def test_a_running_object_takes_no_second_call(cluster: DockerCluster, tmp_path: Path) -> None:
    parallel: Any = Parallel(n_jobs=2, return_as="generator")
    results = parallel(delayed(wait_for_file)(tmp_path / "go", n) for n in range(4))
    with pytest.raises(RuntimeError, match="already running"):
        parallel(delayed(abs)(n) for n in range(4))
    (tmp_path / "go").touch()
    assert list(results) == list(range(4))
    assert list(parallel(delayed(abs)(n) for n in range(4))) == list(range(4))


def test_an_error_of_a_task_shows_where_it_was(cluster: DockerCluster) -> None:
    with pytest.raises(LookupError) as found:
        Parallel()(delayed(fail)(n) for n in range(3))
    assert "in fail" in str(found.value.__cause__)


def test_what_cannot_be_pickled_is_what_joblib_raises(cluster: DockerCluster) -> None:
    with pytest.raises(pickle.PicklingError, match="the task to send") as found:
        Parallel()(delayed(id)(sys._getframe()) for _ in range(4))
    assert isinstance(found.value.__cause__, TypeError)
