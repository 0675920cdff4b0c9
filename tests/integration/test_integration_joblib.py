"""joblib and concurrent.futures on a real cluster of processes."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import joblib
import pytest
from joblib import Parallel, delayed

from dockerparallel import BrokenClusterError, DockerCluster


def square(number: int) -> int:
    return number * number


def identity(seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return os.getpid()


class CustomError(Exception):
    """An error of the user's, with what pickle does not carry by itself."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code


def fail(code: int) -> None:
    raise CustomError(code, "on purpose")


def nested(number: int) -> list[int]:
    return Parallel(n_jobs=2)(delayed(square)(n) for n in range(number))


def test_plain_joblib_runs_on_all_workers_and_not_here(cluster: DockerCluster) -> None:
    assert joblib.effective_n_jobs(-1) == 2
    assert Parallel()(delayed(square)(n) for n in range(100)) == [n * n for n in range(100)]
    pids = set(Parallel(batch_size=1)(delayed(identity)(0.1) for _ in range(20)))
    workers = {worker["pid"] for worker in cluster.worker_container.stats()["workers"]}
    assert pids == workers
    assert os.getpid() not in pids


def test_stopping_restores_joblibs_default(cluster: DockerCluster) -> None:
    cluster.stop()
    assert joblib.parallel.DEFAULT_BACKEND == "loky"
    assert Parallel(n_jobs=1)(delayed(identity)() for _ in range(2)) == [os.getpid()] * 2


def test_a_remote_exception_is_itself_with_the_remote_traceback(cluster: DockerCluster) -> None:
    with pytest.raises(CustomError) as caught:
        Parallel()(delayed(fail)(7) for _ in range(4))
    assert caught.value.code == 7
    assert "raise CustomError(code" in str(caught.value.__cause__)
    assert Parallel()(delayed(square)(n) for n in range(4)) == [0, 1, 4, 9]


def test_generators_and_nested_calls(cluster: DockerCluster) -> None:
    results: Any = Parallel(return_as="generator")(delayed(square)(n) for n in range(50))
    assert list(results) == [n * n for n in range(50)]
    assert Parallel()(delayed(nested)(n) for n in range(6)) == [
        [m * m for m in range(n)] for n in range(6)
    ]


def test_the_executor_is_a_concurrent_futures_executor(cluster: DockerCluster) -> None:
    offset = 3
    with cluster.worker_container.executor() as executor:
        futures = [executor.submit(lambda n: n + offset, n) for n in range(20)]
        assert sorted(f.result(30) for f in as_completed(futures, 30)) == list(range(3, 23))
        assert list(executor.map(square, range(50), chunksize=7)) == [n * n for n in range(50)]
        error = executor.submit(fail, 1).exception(30)
        assert type(error) is CustomError
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(square, 1)


def test_an_executor_keeps_the_cluster_and_the_registry_does_not(
    make_cluster: Callable[..., DockerCluster], processes_with: Callable[[str], dict[int, str]]
) -> None:
    cluster = DockerCluster("local-process", "redis-queue", job_queue_name="dropped", verbose=0)
    cluster.start()
    executor = cluster.worker_container.executor()
    reference = weakref.ref(cluster)
    del cluster
    assert executor.submit(square, 3).result(30) == 9
    marker = "dropped"
    assert processes_with(marker)
    del executor
    assert reference() is None, "something of ours holds the handle"
    assert joblib.parallel.DEFAULT_BACKEND == "loky"
    assert processes_with(marker) == {}


def test_many_threads_share_a_cluster(cluster: DockerCluster) -> None:
    def compute(number: int) -> bool:
        if number % 2:
            return Parallel()(delayed(square)(n) for n in range(20)) == [n * n for n in range(20)]
        with cluster.worker_container.executor() as executor:
            return list(executor.map(square, range(20))) == [n * n for n in range(20)]

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(compute, range(18), timeout=60))


def test_scaling_changes_who_works(cluster: DockerCluster, eventually: Callable[..., Any]) -> None:
    def ids() -> set[int]:
        return {worker["pid"] for worker in cluster.worker_container.stats()["workers"]}

    for number in (4, 1, 0, 2):
        cluster.set_worker_number(number)
        eventually(lambda wanted=number: len(ids()) == wanted, f"{number} workers")
        assert cluster.worker_numbers().running == number
        if number:
            with cluster.worker_container.executor() as executor:
                pids = {f.result(30) for f in [executor.submit(identity, 0.1) for _ in range(20)]}
            assert pids <= ids()


def test_work_waits_for_workers(cluster: DockerCluster) -> None:
    cluster.set_worker_number(0)
    with cluster.worker_container.executor() as executor:
        future = executor.submit(square, 9)
        assert not future.done()
        cluster.set_worker_number(1)
        assert future.result(30) == 81


def test_output_and_logging_of_tasks_land_in_the_log(
    cluster: DockerCluster, eventually: Callable[..., Any]
) -> None:
    def talk() -> None:
        import logging

        print("printed by a task")  # noqa: T201 - what the test is about
        logging.getLogger("user").warning("logged by a task")

    with cluster.worker_container.executor() as executor:
        executor.submit(talk).result(30)
    eventually(lambda: "logged by a task" in str(cluster.cloud_provider.logs()), "the log")
    log = str(cluster.cloud_provider.logs())
    assert "printed by a task" in log
    assert cluster.config.server_password not in log


def test_two_clusters_side_by_side(
    make_cluster: Callable[..., DockerCluster], cluster: DockerCluster
) -> None:
    other = make_cluster(worker_number=1, job_queue_name="side-by-side")
    other.start()
    with (
        cluster.worker_container.executor() as here,
        other.worker_container.executor() as there,
    ):
        pids = {here.submit(identity).result(30)}, {there.submit(identity).result(30)}
    assert not pids[0] & pids[1]
    other.stop()
    assert Parallel()(delayed(square)(n) for n in range(5)) == [0, 1, 4, 9, 16]
    assert cluster.worker_numbers().running == 2


def test_a_stopped_cluster_fails_its_open_futures(cluster: DockerCluster) -> None:
    executor = cluster.worker_container.executor()
    future = executor.submit(time.sleep, 60)
    cluster.stop()
    with pytest.raises(BrokenClusterError, match="stopped"):
        future.result(30)


def test_clusters_start_and_stop_from_several_threads(
    make_cluster: Callable[..., DockerCluster],
) -> None:
    clusters = [make_cluster(job_queue_name=f"threads-{n}") for n in range(3)]
    errors: list[BaseException] = []

    def live(cluster: DockerCluster) -> None:
        try:
            cluster.start()
            with cluster.worker_container.executor() as executor:
                assert executor.submit(square, 5).result(60) == 25
            cluster.stop()
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=live, args=(cluster,)) for cluster in clusters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert errors == []
    ports = {cluster.config.server_port for cluster in clusters}
    assert len(ports) == 3


def test_scikit_learn_computes_on_the_cluster(cluster: DockerCluster, tmp_path: Path) -> None:
    sklearn_model_selection = pytest.importorskip("sklearn.model_selection")
    from sklearn.datasets import load_digits
    from sklearn.svm import SVC

    features, labels = load_digits(return_X_y=True)
    grid = {"gamma": [0.0005, 0.001]}
    search = sklearn_model_selection.GridSearchCV(SVC(), grid, cv=3)
    before = cluster.worker_container.stats()["done"]
    search.fit(features[:400], labels[:400])
    assert search.best_score_ > 0.9
    assert cluster.worker_container.stats()["done"] > before
