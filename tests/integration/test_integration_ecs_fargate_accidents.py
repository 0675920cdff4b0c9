"""Real containers of ECS Fargate: what happens to work and ports when something goes wrong."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from local_docker_rig import RESULT_SECONDS, SHORT_LEASE, Batch
from local_docker_tasks import allocate, process, square

from dockerparallel import DockerCluster
from dockerparallel_ecs_fargate_provider import ECSFargateProvider
from dockerparallel_ecs_fargate_provider.keeper import Keeper
from dockerparallel_fargate_harness import FargateHarness
from dockerparallel_redis_queue_container import RedisQueueWorkerContainer, WorkerDiedError
from dockerparallel_redis_queue_container.settings import MAX_ATTEMPTS

# Making the image included.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

Make = Callable[..., DockerCluster]
Eventually = Callable[..., Any]
TOKEN = "sesame-of-the-user"
MEMORY = 2048
# What is left between clusters: it costs nothing.
SHARED = {
    "clusters",
    "internet_gateways",
    "log_groups",
    "roles",
    "route_tables",
    "security_groups",
    "subnets",
    "task_definitions",
    "vpcs",
}


@pytest.fixture(name="fargate_cluster")
def fargate_cluster_fixture(
    fargate: FargateHarness, redis_queue_image: str, eventually: Eventually
) -> Iterator[Make]:
    """Make clusters, not started; stop them after the test, and see that nothing runs on."""
    made: list[DockerCluster] = []

    def make(
        environment: dict[str, str] | None = None,
        per_task: int = 1,
        provider_options: dict[str, Any] | None = None,
        look_seconds: float = 0.2,
        **options: Any,
    ) -> DockerCluster:
        container = RedisQueueWorkerContainer(
            image=redis_queue_image,
            environment=SHORT_LEASE | (environment or {}),
            secrets={"TOKEN": TOKEN},
            max_worker_num=per_task,
        )
        provider = ECSFargateProvider(poll_interval=0.2, **(provider_options or {}))
        provider._keeper = Keeper(look_seconds)
        settings = {"worker_number": 2, "server_cpu": 1024, "server_memory": MEMORY, "verbose": 0}
        made.append(DockerCluster(provider, container, **(settings | options)))
        return made[-1]

    yield make
    for cluster in made:
        cluster.stop()
    # Workers were told to end, and are not waited for.
    eventually(lambda: set(fargate.left()) <= SHARED, "all tasks have ended", 60)
    for group in fargate.left().get("security_groups", []):
        found = fargate.client("ec2").describe_security_groups(GroupIds=[group])
        (rules,) = (item["IpPermissions"] for item in found["SecurityGroups"])
        assert [rule for rule in rules if rule["IpRanges"]] == []


def containers(fargate: FargateHarness, cluster: DockerCluster) -> list[str]:
    """Return the containers of the workers that live."""
    return [
        fargate.container_of(arn)
        for name, arn in cluster.cloud_provider.tasks().items()
        if name != "server"
    ]


def accepts(host: str, port: int) -> bool:
    """Tell whether somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def test_the_end_of_the_log_of_a_worker_that_dies_is_told_without_secrets(
    fargate_cluster: Make, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "dockerparallel")
    # Nothing listens there, so that it cannot be installed.
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}
    cluster = fargate_cluster(nowhere, worker_number=1)
    cluster.worker_container.add_pip_packages(f"{TOKEN}==1.0")
    cluster.start()
    eventually(lambda: cluster.worker_numbers()[:2] == (0, 0), "the worker has died", 120)
    told = [one.getMessage() for one in caplog.records if "has stopped" in one.getMessage()]
    assert len(told) == 1
    assert "EssentialContainerExited" in told[0]
    assert "ended with exit code 1" in told[0]
    assert "Its log ends with:" in told[0]
    assert "[TOKEN]==1.0" in told[0]
    assert TOKEN not in caplog.text
    assert TOKEN in cluster.cloud_provider.logs()


def test_the_port_of_the_server_is_open_to_the_session_alone(
    fargate: FargateHarness, fargate_cluster: Make, eventually: Eventually
) -> None:
    cluster = fargate_cluster()
    cluster.start_server()
    eventually(cluster.is_server_running, "the server answers", 60)
    host, port = cluster.server_address_for_client()
    assert accepts(host, port)
    arn = cluster.cloud_provider.tasks()["server"]
    (server,) = (task for task in fargate.tasks() if task.arn == arn)
    assert server.open_ports == (port,)
    cluster.stop()
    assert not accepts(host, port)


def test_a_session_from_elsewhere_does_not_reach_the_server(
    fargate: FargateHarness, fargate_cluster: Make, eventually: Eventually
) -> None:
    elsewhere = {"client_cidr": "198.51.100.9"}
    cluster = fargate_cluster(provider_options=elsewhere, worker_number=1)
    cluster.start_server()
    cluster.set_worker_number(1)
    eventually(lambda: cluster.worker_numbers().running == 1, "the worker runs", 60)
    # The workers reach it inside the network, the session does not from outside.
    assert not accepts(*cluster.server_address_for_client())
    assert not cluster.is_server_running()
    assert {task.open_ports for task in fargate.tasks() if task.status == "RUNNING"} == {()}


def test_the_work_of_a_spot_task_that_is_taken_back_is_done_all_the_same(
    fargate: FargateHarness, fargate_cluster: Make, eventually: Eventually
) -> None:
    cluster = fargate_cluster(provider_options={"spot": True})
    cluster.start()
    batch = Batch(cluster, size=300)
    eventually(
        # A task has no container before it runs.
        lambda: all(found := containers(fargate, cluster)) and batch.at_the_gate(*found),
        "both workers to be at work",
        60,
    )
    tasks = cluster.cloud_provider.tasks()
    victim, survivor = (arn for name, arn in tasks.items() if name != "server")
    fargate.interrupt_spot(victim)
    eventually(
        lambda: (
            len(new := set(cluster.cloud_provider.tasks().values()) - {victim}) == 3
            and all(fargate.container_of(arn) for arn in new)
        ),
        "another worker in its place, though nobody asked",
        90,
    )
    eventually(lambda: cluster.worker_numbers().running == 2, "it runs", 60)
    batch.open(*containers(fargate, cluster))
    assert survivor in cluster.cloud_provider.tasks().values()
    assert len(set(batch.hosts())) >= 2


def test_a_task_beyond_the_memory_of_its_worker_is_told(fargate_cluster: Make) -> None:
    cluster = fargate_cluster({MAX_ATTEMPTS: "1"}, worker_number=1, worker_memory=MEMORY)
    cluster.start()
    executor = cluster.worker_container.executor()
    error = executor.submit(allocate, 2 * MEMORY).exception(RESULT_SECONDS)
    assert isinstance(error, WorkerDiedError)
    assert f"went over its memory limit of {MEMORY} MiB" in str(error)
    assert "worker_memory" in str(error)
    assert executor.submit(square, 3).result(RESULT_SECONDS)[0] == 9


def test_several_workers_of_one_task_compute(fargate_cluster: Make) -> None:
    cluster = fargate_cluster(per_task=2, worker_number=4, worker_cpu=512, worker_memory=1024)
    cluster.start()
    assert len(cluster.cloud_provider.list_workers()) == 2
    executor = cluster.worker_container.executor()
    seen: set[tuple[int, str]] = set()
    while len(seen) < 4:
        futures = [executor.submit(process) for _ in range(40)]
        seen |= {future.result(RESULT_SECONDS) for future in futures}
    assert len({host for _, host in seen}) == 2
    assert [
        future.result(RESULT_SECONDS)[0]
        for future in [executor.submit(square, number) for number in range(50)]
    ] == [number * number for number in range(50)]
    # Whole tasks go: of three too many, the two of one task.
    cluster.set_worker_number(1)
    assert cluster.worker_numbers().running == 2
