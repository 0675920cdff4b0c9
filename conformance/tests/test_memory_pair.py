"""The in-memory pair does what the suite's own tests rely on."""

from __future__ import annotations

import functools
import gc
import json
import os
import pickle
import secrets
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from memory_cloud import CloudAddress, CloudError, MemoryCloud
from memory_container import (
    MemoryServerContainer,
    MemoryWorkerContainer,
    backend_state,
    command,
    current_executor,
)
from memory_executor import MemoryExecutor, WrongPasswordError
from memory_external import external_server
from memory_provider import SHARED, MemoryProvider

from dockerparallel import (
    BackendError,
    BrokenClusterError,
    DockerCluster,
    Endpoint,
    ServerNotRunningError,
    Status,
    WorkerNumbers,
)

DEADLINE = 20.0

Make = Callable[..., DockerCluster]

WHO = functools.partial(eval, "(__import__('time').sleep(0.02), __import__('os').getpid())[1]")
SLEEP = functools.partial(eval, "__import__('time').sleep(600)")


@pytest.fixture
def cloud(memory_cloud: MemoryCloud) -> Iterator[CloudAddress]:
    """Give the platform, and fail the test if it leaves something there."""
    address = memory_cloud.address
    yield address
    left = address.resources()
    address.reset()
    assert left == []
    assert backend_state() is None


@pytest.fixture
def make(cloud: CloudAddress) -> Iterator[Make]:
    """Make clusters that are stopped after the test."""
    with ExitStack() as clusters:

        def make_cluster(
            container: MemoryWorkerContainer | None = None, **options: Any
        ) -> DockerCluster:
            name = f"memory-{secrets.token_hex(4)}"
            chosen = {"worker_number": 2, "verbose": 0, "job_queue_name": name, **options}
            cluster = DockerCluster(
                MemoryProvider(cloud), container or MemoryWorkerContainer(), **chosen
            )
            state = cluster.state
            clusters.callback(lambda: DockerCluster.from_state(state).stop())
            return cluster

        yield make_cluster


def wait_for(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.002)


def started(cluster: DockerCluster) -> DockerCluster:
    """Start a cluster and wait for its workers."""
    cluster.start()
    expected = cluster.config.expected_worker_number
    wait_for("the workers", lambda: cluster.worker_numbers() == (0, expected, expected))
    return cluster


def workers_of(cluster: DockerCluster, number: int) -> set[int]:
    """Return the processes that take part in tasks."""
    seen: set[int] = set()

    def enough() -> bool:
        with cluster.worker_container.executor() as executor:
            seen.update(executor.map(WHO, [{}] * 2 * number))
        return len(seen) >= number

    wait_for(f"{number} workers to take part", enough)
    return seen


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids(cloud: CloudAddress, cluster: DockerCluster) -> list[int]:
    listed = cloud.containers(cluster.config.job_queue_name)
    return [pid for info in listed for pid in info.pids]


def test_two_workers_compute_and_stop_leaves_nothing(make: Make, cloud: CloudAddress) -> None:
    cluster = started(make())
    workers = workers_of(cluster, 2)
    assert len(workers) == 2
    assert os.getpid() not in workers
    processes = pids(cloud, cluster)
    assert workers < set(processes)
    endpoint = cluster.server_address_for_client()
    files = list(Path(cloud.path).parent.rglob("MEMORY_PASSWORD"))
    assert len(files) == 3

    cluster.stop()
    assert cloud.resources() == []
    assert cloud.shared() == [SHARED]
    assert not [pid for pid in processes if exists(pid)]
    assert not [file for file in files if file.exists()]
    assert os.listdir(Path(cloud.path).parent) == ["socket"]  # noqa: PTH208 - one line
    with pytest.raises(ConnectionRefusedError), socket.create_connection(endpoint):
        pass
    cluster.cleanup(deep=True)
    assert cloud.shared() == []


def test_workers_share_a_container_and_die_together(make: Make, cloud: CloudAddress) -> None:
    cluster = started(make(MemoryWorkerContainer(max_worker_num=2), worker_number=3))
    name = cluster.config.job_queue_name
    packed = cloud.containers(name, "worker")
    assert [len(info.pids) for info in packed] == [2, 1]
    assert workers_of(cluster, 3) == {pid for info in packed for pid in info.pids}
    os.kill(packed[0].pids[1], signal.SIGKILL)
    wait_for("the death", lambda: cluster.worker_numbers() == (0, 1, 3))
    assert not [pid for pid in packed[0].pids if exists(pid)]


def test_a_dead_worker_comes_back_and_its_task_is_done(make: Make, cloud: CloudAddress) -> None:
    cluster = started(make())
    name = cluster.config.job_queue_name
    first, second = workers_of(cluster, 2)
    with cluster.worker_container.executor() as executor:
        futures = [executor.submit(WHO, {}) for _ in range(20)]
        dying = next(info for info in cloud.containers(name) if info.pids == (first,))
        cloud.crash([dying.id])
        assert not list(Path(cloud.path).parent.glob(f"{dying.id}/secrets")), "they are removed"
        assert {future.result(timeout=DEADLINE) for future in futures} >= {second}
    assert cluster.worker_numbers() == WorkerNumbers(0, 1, 2)
    cluster.update()
    wait_for("the new worker", lambda: cluster.worker_numbers() == (0, 2, 2))
    assert first not in workers_of(cluster, 2)
    assert dying.id not in [info.id for info in cloud.containers(name)], "it is forgotten"


def test_an_idle_worker_that_has_died_costs_no_task_an_attempt(
    make: Make, cloud: CloudAddress
) -> None:
    cluster = started(make())
    workers_of(cluster, 2)
    cloud.crash([cloud.containers(cluster.config.job_queue_name, "worker")[0].id])
    cluster.worker_container.attempts = 1
    with cluster.worker_container.executor() as executor:
        assert list(executor.map(abs, range(10))) == list(range(10))


def test_a_task_that_kills_its_workers_is_given_up(make: Make) -> None:
    cluster = started(make())
    cluster.worker_container.attempts = 1
    with cluster.worker_container.executor() as executor:
        future = executor.submit(os._exit, 3)
        with pytest.raises(BackendError, match="has died"):
            future.result(timeout=DEADLINE)


def test_results_come_in_order_and_errors_arrive(make: Make) -> None:
    cluster = started(make())
    executor = current_executor()
    numbers = list(range(50))
    assert list(executor.map(abs, numbers)) == numbers
    with pytest.raises(ValueError, match="seven") as caught:
        executor.submit(int, "seven").result(timeout=DEADLINE)
    assert "On the worker:" in caught.value.__notes__[0]
    with pytest.raises(TypeError, match="pickle"):
        executor.submit(os.scandir, ".").result(timeout=DEADLINE)
    with pytest.raises(AttributeError, match="local object"):
        executor.submit(lambda: 1).result(timeout=DEADLINE)
    cluster.stop()


def test_futures_fail_when_the_server_dies(make: Make, cloud: CloudAddress) -> None:
    cluster = started(make())
    executor = cluster.worker_container.executor()
    future = executor.submit(SLEEP, {})
    (server,) = cloud.containers(cluster.config.job_queue_name, "server")
    os.kill(server.pids[0], signal.SIGKILL)
    with pytest.raises(BrokenClusterError):
        future.result(timeout=DEADLINE)
    with pytest.raises(BrokenClusterError):
        executor.submit(abs, 1)
    executor.shutdown()
    wait_for("the platform to notice", lambda: not cluster.is_server_running())
    with pytest.raises(ServerNotRunningError, match="signal 9"):
        cluster.register_backend()


def test_a_cluster_whose_server_has_died_starts_again(make: Make, cloud: CloudAddress) -> None:
    cluster = started(make())
    old = current_executor()
    (server,) = cloud.containers(cluster.config.job_queue_name, "server")
    # Known at once, also while the receiving thread cannot look.
    with old._calls._lock:
        cloud.crash([server.id])
        assert old.broken
    assert not cluster.is_server_running()
    # They go on without it, and know only the old one.
    cluster.set_worker_number(0)
    cluster.config.expected_worker_number = 2
    started(cluster)
    assert current_executor() is not old
    assert len(workers_of(cluster, 2)) == 2
    assert server.id not in [info.id for info in cloud.containers()], "it is forgotten"
    cluster.stop()
    assert backend_state() is None


def test_deregistering_fails_what_is_open(make: Make) -> None:
    cluster = started(make(worker_number=1))
    future = current_executor().submit(SLEEP, {})
    cluster.deregister_backend()
    with pytest.raises(BrokenClusterError):
        future.result(timeout=DEADLINE)


def test_registering_is_a_stack(make: Make) -> None:
    first = started(make(worker_number=1))
    one = current_executor()
    state = backend_state()
    second = started(make(worker_number=1))
    assert backend_state() != state
    second.register_backend()
    first.register_backend()
    assert current_executor() is not one, "the last one to be made is current"
    second.deregister_backend()
    second.deregister_backend()
    assert current_executor() is one
    assert backend_state() == state
    first.stop()
    assert backend_state() is None
    with pytest.raises(BackendError, match="No cluster"):
        current_executor()


def test_the_password_is_needed(make: Make) -> None:
    cluster = make(worker_number=0)
    cluster.start()
    endpoint = cluster.server_address_for_client()
    with pytest.raises(WrongPasswordError):
        MemoryExecutor(endpoint, "guessed")
    # One who says nothing keeps nobody else out.
    with socket.create_connection(endpoint):
        MemoryExecutor(endpoint, cluster.config.server_password).shutdown()
    cluster.deregister_backend()
    cluster.config.server_password = "another"
    with pytest.raises(WrongPasswordError):
        cluster.register_backend()
    with pytest.raises(BackendError, match="cannot be reached"):
        MemoryExecutor(Endpoint("127.0.0.1", 1), "x", timeout=0.05)


def test_no_secret_is_listed(make: Make, cloud: CloudAddress) -> None:
    cluster = started(make(MemoryWorkerContainer(secrets={"MINE": "a user's secret"})))
    listed = str(cluster.cloud_provider.list_containers()) + str(cloud.resources())
    assert cluster.config.job_queue_name in cluster.cloud_provider.list_clusters()
    assert "a user's secret" not in listed
    assert cluster.config.server_password not in listed
    assert repr(cloud.authkey) not in repr(cloud)


def test_another_session_takes_over(make: Make, cloud: CloudAddress) -> None:
    container = MemoryWorkerContainer(max_worker_num=2, environment={"MINE": "kept"})
    cluster = started(make(container, worker_number=3))
    name = cluster.config.job_queue_name
    fresh = (MemoryProvider(cloud), MemoryWorkerContainer(), name)
    session = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("memory_session.py"))],
        input=pickle.dumps(fresh),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert session.returncode == 0, session.stderr.decode()
    found = json.loads(session.stdout)
    assert found["pid"] != os.getpid()
    assert found["result"] == 1024
    assert found["numbers"] == [0, 3, 3]
    assert found["password"] == cluster.config.server_password
    assert found["port"] == cluster.config.server_port
    assert found["environment"] == {"MINE": "kept"}
    assert found["handles"] == cluster.state.provider.worker_handles()  # type: ignore[attr-defined]
    assert cluster.worker_numbers() == (0, 3, 3), "it left the cluster running"


def test_each_cluster_gets_a_port_of_its_own(make: Make) -> None:
    clusters = [make(worker_number=0) for _ in range(3)]
    for cluster in clusters:
        cluster.start()
    assert len({cluster.config.server_port for cluster in clusters}) == 3
    assert len({cluster.server_address_for_client() for cluster in clusters}) == 3


def test_dropping_the_handle_stops_the_cluster(make: Make, cloud: CloudAddress) -> None:
    cluster = started(make())
    name, reference = cluster.config.job_queue_name, weakref.ref(cluster)
    executor = cluster.worker_container.executor()
    del cluster
    gc.collect()
    assert reference() is not None, "the executor keeps it"
    executor.shutdown()
    gc.collect()
    assert reference() is None
    assert cloud.resources(name) == []


def test_an_executor_that_is_dropped_finishes_its_work(make: Make) -> None:
    cluster = started(make())
    assert cluster.worker_container.executor().submit(abs, -4).result(timeout=DEADLINE) == 4


def test_a_start_that_fails_half_way_leaves_what_it_made_known(
    make: Make, cloud: CloudAddress
) -> None:
    cluster = make(worker_number=2)
    cluster.start_server()
    container = cluster.state.worker_container.configure_worker_env(cluster, 1)
    provider: Any = cluster.state.provider
    run, calls = provider.run_container, []

    def fails_at_the_second(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise CloudError("no more")
        run(*arguments)

    provider.run_container = fails_at_the_second
    with pytest.raises(CloudError, match="no more"):
        provider.set_worker_number(cluster, container, cluster.config.worker_hardware, 2)
    (worker,) = cloud.containers(cluster.config.job_queue_name, "worker")
    assert worker.id in provider.worker_handles()
    cluster.stop()
    assert cloud.resources() == []


def test_a_container_that_ends_tells_why(cloud: CloudAddress) -> None:
    cloud.run("mine", "worker", "memory-worker", {"MEMORY_WORKERS": "1"}, {}, container_id="a")
    wait_for("its end", lambda: cloud.status(["a"]) == [Status.STOPPED])
    (info,) = cloud.containers("mine")
    assert "exit code 1" in info.ended
    assert "The secret MEMORY_PASSWORD has not reached this container" in info.ended
    assert cloud.resources("mine") == ["container a of mine (stopped)"]
    assert cloud.kill(["a", "unknown", "a"]) == [True, True, True]
    with pytest.raises(CloudError, match="no image 'other'"):
        cloud.run("mine", "worker", "other", {}, {})


def test_the_commands_run_outside_the_platform(make: Make, cloud: CloudAddress) -> None:
    server = MemoryServerContainer(command=command("server"))
    worker = MemoryWorkerContainer(command=command("worker"))
    server.command[0] = worker.command[0] = sys.executable  # type: ignore[index]
    cluster = make(worker, worker_number=1, server_container=server)
    started(cluster)
    with cluster.worker_container.executor() as executor:
        worker_pid = executor.submit(os.getpid).result(timeout=DEADLINE)
    assert worker_pid in pids(cloud, cluster)


def test_an_external_server(make: Make, cloud: CloudAddress) -> None:
    with external_server(cloud) as server:
        cluster = started(make(private_server=server))
        assert len(workers_of(cluster, 2)) == 2
        cluster.stop()
        with socket.create_connection((server.public_ip, server.public_port)):
            pass


def test_a_cloud_ends_with_its_parent_or_itself() -> None:
    script = (
        "import os, sys; from memory_cloud import MemoryCloud; cloud = MemoryCloud();"
        "cloud.address.run('a', 'server', 'memory-server', {'MEMORY_PORT': '0'},"
        " {'MEMORY_PASSWORD': 'x'});"
        "(found,) = cloud.address.containers();"
        "print(cloud._process.pid, found.pids[0], cloud._folder, flush=True); os.kill({}, 9);"
        "sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    for victim in ("os.getpid()", "cloud._process.pid"):
        with subprocess.Popen(
            [sys.executable, "-c", script.replace("{}, 9", f"{victim}, 9")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as session:
            assert session.stdout is not None
            platform, server, folder = session.stdout.readline().split()
            wait_for("the end of the server", lambda: not runs(int(server)))  # noqa: B023
            wait_for("the end of the platform", lambda: not runs(int(platform)))  # noqa: B023
            session.kill()
        if victim == "os.getpid()":
            wait_for("its files to be gone", lambda: not Path(folder).exists())  # noqa: B023
        else:
            for file in sorted(Path(folder).rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            Path(folder).rmdir()


def runs(pid: int) -> bool:
    """Tell whether a process, not a zombie, has that number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_closed_cloud_is_told() -> None:
    with MemoryCloud() as cloud:
        address = cloud.address
        address.ping()
        with pytest.raises(CloudError, match="does not answer"):
            CloudAddress(address.path, b"another key").ping()
    cloud.close()
    with pytest.raises(CloudError, match="does not answer"):
        address.ping()
    assert not Path(address.path).parent.exists()
