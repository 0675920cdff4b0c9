"""Options of the joblib backend, and calls inside tasks, on real workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
from joblib import Parallel, delayed, parallel_backend, parallel_config
from joblib.parallel import LokyBackend, ThreadingBackend
from redis_queue_harness import Site, cluster_on

from dockerparallel import DockerCluster
from dockerparallel.errors import InvalidTypeError, InvalidValueError
from dockerparallel_redis_queue_container import RedisQueueBackend


@pytest.fixture
def cluster(site: Site) -> Iterator[DockerCluster]:
    """Register a cluster with three workers."""
    site.start_workers(3)
    with cluster_on(site, worker_number=3) as cluster:
        yield cluster


def test_unknown_options_are_refused(cluster: DockerCluster) -> None:
    with pytest.raises(InvalidTypeError, match="no option 'speed'"):
        parallel_config(backend="redis-queue", speed=3)
    # joblib before 1.5 refuses it itself.
    with pytest.raises(TypeError, match="'speed'"):
        Parallel(speed=3)([delayed(abs)(1)])
    with pytest.raises(InvalidTypeError, match=r"Parallel\(timeout="):
        parallel_config(backend="redis-queue", timeout=3)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"initializer": 3}, InvalidTypeError),
        ({"initializer": abs, "initargs": 3}, InvalidTypeError),
        ({"inner_max_num_threads": 0}, InvalidValueError),
        ({"inner_max_num_threads": "2"}, InvalidTypeError),
    ],
)
def test_values_that_cannot_be_used_are_refused(
    cluster: DockerCluster, options: dict[str, Any], error: type[Exception]
) -> None:
    def call() -> None:
        with parallel_config(backend="redis-queue", **options):
            Parallel()([delayed(abs)(1)])

    with pytest.raises(error, match=next(reversed(options))):
        call()


def test_options_about_memory_maps_and_loky_do_no_harm(
    cluster: DockerCluster, tmp_path: Path
) -> None:
    parallel = Parallel(
        n_jobs=2,
        max_nbytes=1,
        mmap_mode="c",
        temp_folder=str(tmp_path),
    )
    assert parallel(delayed(len)(b"abc") for _ in range(4)) == [3] * 4
    with parallel_config(backend="redis-queue", idle_worker_timeout=3, max_nbytes=None):
        assert Parallel()(delayed(len)(b"abc") for _ in range(4)) == [3] * 4


def fail_first(folder: Path) -> None:
    path = folder / f"initialized-{os.getpid()}"
    if not path.exists():
        path.touch()
        raise LookupError("not yet")


def test_an_initializer_that_fails_ends_the_call_and_is_tried_again(
    cluster: DockerCluster, tmp_path: Path
) -> None:
    failures = 0
    with parallel_config(
        backend="redis-queue", n_jobs=2, initializer=fail_first, initargs=(tmp_path,)
    ):
        while failures <= 3:
            try:
                assert Parallel()(delayed(abs)(-n) for n in range(9)) == list(range(9))
                break
            except LookupError:
                failures += 1
    assert 1 <= failures <= 3


def threads() -> dict[str, Any]:
    import numpy as np
    import threadpoolctl

    np.dot(np.ones((2, 2)), np.ones((2, 2)))
    return {
        "variable": os.environ.get("OPENBLAS_NUM_THREADS"),
        "libraries": {found["num_threads"] for found in threadpoolctl.threadpool_info()},
    }


@pytest.mark.parametrize("context", [parallel_config, parallel_backend])
def test_the_threads_of_libraries_are_limited_for_a_call(site: Site, context: Any) -> None:
    pytest.importorskip("numpy")
    pytest.importorskip("threadpoolctl")
    site.start_workers(1, {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    with cluster_on(site, worker_number=1):
        # The first one loads the library, under the limit; afterwards it is there.
        for number in (2, 3):
            with context("redis-queue", inner_max_num_threads=number):
                for found in Parallel(n_jobs=2)(delayed(threads)() for _ in range(2)):
                    assert found == {"variable": str(number), "libraries": {number}}
            for found in Parallel(n_jobs=2)(delayed(threads)() for _ in range(2)):
                assert found == {"variable": "1", "libraries": {1}}


def openmp_threads() -> list[int]:
    import sklearn.utils._openmp_helpers
    import threadpoolctl

    assert sklearn.utils._openmp_helpers is not None
    found = threadpoolctl.threadpool_info()
    return [library["num_threads"] for library in found if library["user_api"] == "openmp"]


def test_a_library_that_a_limited_call_has_loaded_is_not_limited_for_ever(site: Site) -> None:
    pytest.importorskip("sklearn")
    site.start_workers(1, {"OMP_NUM_THREADS": "3"})
    with cluster_on(site, worker_number=1):
        with parallel_config("redis-queue", inner_max_num_threads=2):
            [limited] = Parallel(n_jobs=2)([delayed(openmp_threads)()])
        [free] = Parallel(n_jobs=2)([delayed(openmp_threads)()])
        assert set(limited) == {2}
        assert set(free) == {3}


def test_hints_and_constraints_choose_as_for_loky(cluster: DockerCluster) -> None:
    def backend(**options: Any) -> Any:
        return Parallel(n_jobs=2, **options)._backend

    assert isinstance(backend(), RedisQueueBackend)
    assert type(backend()) is joblib.parallel.BACKENDS["redis-queue"]
    assert type(backend(prefer="threads")) is ThreadingBackend
    assert isinstance(backend(prefer="processes"), RedisQueueBackend)
    assert type(backend(require="sharedmem")) is ThreadingBackend
    assert type(backend(backend="loky")) is LokyBackend
    with parallel_config(backend="redis-queue"):
        assert isinstance(backend(prefer="threads"), RedisQueueBackend)
        assert type(backend(require="sharedmem")) is ThreadingBackend
    with pytest.raises(ValueError, match="shared memory"):
        backend(backend="redis-queue", require="sharedmem")


def levels(limit: int) -> list[tuple[str, int | None]]:
    with Parallel(n_jobs=2) as parallel:
        backend = parallel._backend
        here = (type(backend).__name__, backend.nesting_level)
        below = parallel([delayed(levels)(limit - 1)])[0] if limit else []
        return [here, *below]


def test_nested_calls_use_threads_and_then_nothing(cluster: DockerCluster) -> None:
    assert levels(2) == [
        ("RedisQueueBackend", 0),
        ("ThreadingBackend", 1),
        ("SequentialBackend", 2),
    ]


def processes_of(backend: str) -> tuple[int, list[int], int]:
    pids = Parallel(n_jobs=2, backend=backend)(delayed(os.getpid)() for _ in range(4))
    return os.getpid(), pids, joblib.effective_n_jobs(-1)


OF_PROCESSES = ["loky", "multiprocessing"]


@pytest.mark.parametrize("backend", ["threading", "sequential", "redis-queue", *OF_PROCESSES])
def test_any_backend_may_be_asked_for_inside(site: Site, backend: str) -> None:
    site.start_workers(2, {"LOKY_MAX_CPU_COUNT": "1"})
    with cluster_on(site, worker_number=2):
        for pid, pids, jobs in Parallel()(delayed(processes_of)(backend) for _ in range(2)):
            assert (set(pids) == {pid}) is (backend not in OF_PROCESSES)
            # A worker has its share of the machine, and not all of it.
            assert jobs == 1
    # Its processes are ended by whom they belong to, and not as workers are.
    assert "Traceback" not in site.programs[0].log
