"""Registering a session with its cluster, and taking it back."""

from __future__ import annotations

import gc
import json
import logging
import platform
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import joblib.parallel
import pytest
from joblib import Parallel, delayed
from redis_queue_harness import NoProvider, Server, Site, cluster_on, free_port

from dockerparallel import (
    BackendError,
    BrokenClusterError,
    DockerCluster,
    ServerNotRunningError,
    WorkerNumbers,
)
from dockerparallel_redis_queue_container import (
    NotAQueueServerError,
    ProtocolVersionError,
    PythonVersionError,
    QueueConnectionError,
    QueueTimeoutError,
    RedisQueueWorkerContainer,
    WrongPasswordError,
    registering,
    registration,
)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = default()
    yield
    assert default() == before
    if "redis-queue" in joblib.parallel.BACKENDS:
        with pytest.raises(BackendError, match="No cluster is registered"):
            Parallel(backend="redis-queue")


@contextmanager
def registered(site: Site, **options: Any) -> Iterator[DockerCluster]:
    cluster = cluster_on(site, **options)
    cluster.register_backend(worker_timeout=0.01)
    try:
        yield cluster
    finally:
        cluster.deregister_backend()


def default() -> str:
    return str(joblib.parallel.DEFAULT_BACKEND)


def test_registering_makes_the_default_and_deregistering_restores_it(site: Site) -> None:
    before = default()
    cluster = cluster_on(site)
    for _ in range(2):
        cluster.register_backend(worker_timeout=0.01)
        assert default() == "redis-queue"
    for _ in range(2):
        cluster.deregister_backend()
        assert default() == before


def test_another_default_than_joblibs_own_is_restored(site: Site) -> None:
    backends = joblib.parallel.BACKENDS
    joblib.register_parallel_backend("threading", backends["threading"], make_default=True)
    try:
        with registered(site):
            assert default() == "redis-queue"
        assert default() == "threading"
    finally:
        joblib.register_parallel_backend("loky", backends["loky"], make_default=True)


def test_a_default_that_the_user_chose_meanwhile_stays(site: Site) -> None:
    backends = joblib.parallel.BACKENDS
    try:
        with registered(site):
            joblib.register_parallel_backend("threading", backends["threading"], make_default=True)
        assert default() == "threading"
    finally:
        joblib.register_parallel_backend("loky", backends["loky"], make_default=True)


def served_by() -> str:
    return str(joblib.parallel.BACKENDS["redis-queue"].client.queue.job_queue_name)  # type: ignore[attr-defined]


@pytest.mark.parametrize("first_to_go", [0, 1])
def test_of_two_clusters_the_later_one_serves_until_it_goes(
    server: Server, site: Site, tmp_path_factory: pytest.TempPathFactory, first_to_go: int
) -> None:
    other = Site(server, tmp_path_factory.mktemp("other"))
    clusters = [cluster_on(site), cluster_on(other)]
    for cluster in clusters:
        cluster.register_backend(worker_timeout=0.01)
    assert served_by() == other.name
    clusters.pop(first_to_go).deregister_backend()
    assert default() == "redis-queue"
    [left] = clusters
    assert served_by() == left.config.job_queue_name
    left.deregister_backend()
    other.close()


def test_deregistering_fails_what_is_open(site: Site) -> None:
    cluster = cluster_on(site)
    cluster.register_backend(worker_timeout=0.01)
    future = cluster.worker_container.executor().submit(abs, 1)
    cluster.deregister_backend()
    with pytest.raises(BrokenClusterError):
        future.result(0)


def test_an_executor_works_without_the_joblib_backend(site: Site) -> None:
    site.start_workers(1)
    before = default()
    cluster = cluster_on(site)
    with cluster.worker_container.executor() as executor:
        assert executor.submit(abs, -1).result(30) == 1
    assert default() == before
    cluster.deregister_backend()


def test_a_worker_that_initializes_is_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the provider says that one is on its way, whatever ``worker_timeout`` is."""
    monkeypatch.setattr(registering, "_LOOK_SECONDS", 0.0)
    cluster = cluster_on(site)
    cluster.config.expected_worker_number = 1
    looks: list[WorkerNumbers] = []

    def numbers(_cluster: DockerCluster) -> WorkerNumbers:
        # The worker comes when the provider was asked often: longer than the timeout allows.
        looks.append(WorkerNumbers(1, 0))
        if len(looks) == 20:
            site.start_workers(1)
        return looks[-1]

    monkeypatch.setattr(cluster.state.provider, "worker_numbers", numbers)
    cluster.state.initialized = True
    cluster.register_backend(worker_timeout=0.02)
    assert len(looks) >= 20
    assert registration.client_of(cluster.state).queue.workers()  # type: ignore[union-attr]
    cluster.deregister_backend()


def test_workers_that_never_come_are_not_waited_for_for_ever(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registering, "_LOOK_SECONDS", 0.0)
    cluster = cluster_on(site)
    cluster.config.expected_worker_number = 1
    monkeypatch.setattr(
        cluster.state.provider, "worker_numbers", lambda _cluster: WorkerNumbers(1, 0)
    )
    cluster.state.initialized = True
    cluster.register_backend(worker_timeout=0.02, worker_start_timeout=0.1)
    assert "No worker has come within" in caplog.text
    cluster.deregister_backend()


def test_all_executors_of_a_cluster_share_one_connection(site: Site) -> None:
    with registered(site) as cluster:
        before = threading.active_count()
        executors = [cluster.worker_container.executor() for _ in range(5)]
        assert threading.active_count() == before
        assert len({id(executor._client) for executor in executors}) == 1


def test_nothing_registered_keeps_the_cluster_alive(site: Site) -> None:
    cluster = cluster_on(site)
    cluster.register_backend(worker_timeout=0.01)
    future = cluster.worker_container.executor().submit(abs, 1)
    handle, state = weakref.ref(cluster), weakref.ref(cluster.state)
    del cluster
    gc.collect()
    assert handle() is None
    gc.collect()
    assert state() is None
    # Dropping it has stopped it.
    with pytest.raises(BrokenClusterError):
        future.result(0)


def test_an_executor_keeps_the_cluster_alive(site: Site) -> None:
    cluster = cluster_on(site)
    executor = cluster.worker_container.executor()
    handle = weakref.ref(cluster)
    del cluster
    gc.collect()
    assert handle() is not None
    executor.shutdown()
    del executor
    gc.collect()
    assert handle() is None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"time_out": 3},
            TypeError,
            "timeout, worker_timeout, worker_start_timeout, server_timeout",
        ),
        ({"timeout": 0}, ValueError, "timeout must be above 0"),
        ({"worker_timeout": "3"}, TypeError, "worker_timeout must be a number"),
    ],
)
def test_wrong_options_are_refused_before_anything_happens(
    site: Site, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    before = default()
    with pytest.raises(error, match=message):
        cluster_on(site).register_backend(**options)
    assert default() == before
    with pytest.raises(TypeError, match="takes no options"):
        cluster_on(site).deregister_backend(deep=True)


def test_a_wrong_password_is_told_at_once(site: Site) -> None:
    cluster = cluster_on(site, password="not-the-password")
    with pytest.raises(WrongPasswordError, match="refused the password") as caught:
        cluster.register_backend(timeout=60)
    assert "not-the-password" not in str(caught.value)
    assert isinstance(caught.value, PermissionError)


def test_a_refused_connection_is_told_with_address_and_time(site: Site) -> None:
    port = free_port()
    cluster = cluster_on(site, port=port)
    with pytest.raises(QueueConnectionError, match=rf"127.0.0.1:{port} within 0.2 s"):
        cluster.register_backend(timeout=0.2)
    with pytest.raises(ConnectionError):
        cluster.register_backend(timeout=0.2)


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Give the port of a server that does the same to each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    # The listener was shut down: the test is over.
                    return
                kept.append(connection)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for connection in kept:
                connection.close()


def test_another_kind_of_server_is_told_apart(site: Site) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with answering(refuse) as port, pytest.raises(NotAQueueServerError, match="no Redis or Valkey"):
        cluster_on(site, port=port).register_backend(timeout=10)


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(site: Site) -> None:
    with (
        answering(lambda _: None) as port,
        pytest.raises(QueueTimeoutError, match=r"did not answer within 0.3 s"),
    ):
        cluster_on(site, port=port).register_backend(timeout=0.3)


def test_a_server_without_a_password_is_refused(own_server: Server, site: Site) -> None:
    with own_server.connect() as connection:
        connection.config_set("requirepass", "")
    cluster = cluster_on(site, port=own_server.port)
    with pytest.raises(WrongPasswordError, match="asks for no password"):
        cluster.register_backend()


def test_workers_of_another_python_are_named_at_registration(site: Site) -> None:
    worker = {"id": "w", "python": "3.9", "started": 1}
    site.queue().renew([("w", json.dumps(worker))])
    before = default()
    with pytest.raises(PythonVersionError, match=r"run Python 3\.9, and this session runs"):
        cluster_on(site).register_backend()
    assert default() == before


@pytest.mark.parametrize(("protocol", "said"), [({}, "1"), ({"protocol": 99}, "99")])
def test_workers_of_another_protocol_are_refused(
    site: Site, protocol: dict[str, int], said: str
) -> None:
    python = ".".join(platform.python_version_tuple()[:2])
    worker = {"id": "w", "python": python, "started": 1} | protocol
    site.queue().renew([("w", json.dumps(worker))])
    with pytest.raises(ProtocolVersionError, match=f"workers speak protocol {said} of the queue"):
        cluster_on(site).register_backend()


def test_a_cluster_without_workers_yet_registers_with_a_warning(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "dockerparallel"):
        with registered(site):
            assert "No worker has come within 0.01 s" in caplog.text
        caplog.clear()
        with registered(site, worker_number=0):
            assert caplog.text == ""


def test_without_a_server_the_executor_says_what_to_do() -> None:
    cluster = DockerCluster(provider=NoProvider(), worker_container=RedisQueueWorkerContainer())
    with pytest.raises(ServerNotRunningError, match=r"cluster\.start"):
        cluster.worker_container.executor()


def test_stats_count_what_happened(site: Site) -> None:
    site.start_workers(2)
    with cluster_on(site, worker_number=2) as cluster:
        executor = cluster.worker_container.executor()
        assert list(executor.map(abs, range(10))) == list(range(10))
        assert isinstance(executor.submit(divmod, 1, 0).exception(30), ZeroDivisionError)
        stats = cluster.worker_container.stats()
    workers = stats.pop("workers")
    assert stats.pop("tasks_per_second") > 0
    assert stats.pop("task_bytes") > 11 * 10
    assert stats.pop("result_bytes") > 11 * 10
    idle = {"waiting": 0, "running": 0, "retried": 0, "died": 0}
    assert stats == {**idle, "submitted": 11, "done": 10, "failed": 1}
    names = {"id", "host", "pid", "python", "done", "failed", "tasks_per_second"}
    assert set(workers[0]) == names
    assert sum(worker["done"] for worker in workers) == 10
    assert sum(worker["failed"] for worker in workers) == 1


def test_a_lost_client_is_replaced_by_registering_again(own_server: Server, site: Site) -> None:
    own = Site(own_server, site.folder / "..")
    with registered(own) as cluster:
        executor = cluster.worker_container.executor()
        own_server.kill()
        own_server.start()
        with pytest.raises(BrokenClusterError):
            executor.submit(abs, 1).result(30)
        cluster.register_backend(worker_timeout=0.01)
        assert Parallel()(delayed(abs)(-n) for n in range(0)) == []
        assert default() == "redis-queue"
        assert not cluster.worker_container.executor()._client.broken
    own.close()
