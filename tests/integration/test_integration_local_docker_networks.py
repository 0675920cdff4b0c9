"""Workers that lose the network, or stand still, and come back."""

from __future__ import annotations

import pytest
from local_docker_rig import (
    RESULT_SECONDS,
    Batch,
    Eventually,
    Make,
    docker,
    hosts,
    inspect,
    leftovers,
    make_fixture,  # noqa: F401 - a fixture
    nothing_of_ours_is_left_fixture,  # noqa: F401 - a fixture
    workers,
)
from local_docker_tasks import process

from dockerparallel import DockerCluster
from dockerparallel_redis_queue_container.settings import LEASE

# Making the images included.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


def takes_part(cluster: DockerCluster, host: str) -> bool:
    """Tell whether a worker computes one of some tasks."""
    executor = cluster.worker_container.executor()
    futures = [executor.submit(process) for _ in range(10)]
    return host in {future.result(RESULT_SECONDS)[1] for future in futures}


def network_of(cluster: DockerCluster) -> str:
    return f"dockerparallel-{cluster.config.job_queue_name}"


def address_of(container: str) -> str:
    [network] = inspect(container)["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def test_a_short_loss_of_the_network_is_survived(make: Make, eventually: Eventually) -> None:
    # The supervisor notices after half of a lease.
    cluster = make({LEASE: "6"})
    cluster.start()
    batch = Batch(cluster)
    eventually(batch.at_the_gate, "both workers to be at work")
    (victim, container), (_, other) = workers(cluster).items()
    docker("network", "disconnect", network_of(cluster), container)
    eventually(
        lambda: "did not take the heartbeat" in docker("logs", container), "the loss to be noticed"
    )
    docker("network", "connect", network_of(cluster), container)
    batch.open(container, other)
    batch.hosts()
    eventually(lambda: takes_part(cluster, victim), "the worker to take part again")


def test_a_worker_that_comes_back_with_another_address_hands_in_its_task(
    make: Make, eventually: Eventually
) -> None:
    # A long lease, so that nobody else does the task.
    cluster = make({LEASE: "30"})
    cluster.start()
    batch = Batch(cluster)
    eventually(batch.at_the_gate, "both workers to be at work")
    victim, container = next(iter(workers(cluster).items()))
    before = address_of(container)
    docker("network", "disconnect", network_of(cluster), container)
    # The third one gets the address that has become free.
    cluster.set_worker_number(3)
    docker("network", "connect", network_of(cluster), container)
    assert address_of(container) != before
    batch.open(*workers(cluster).values())
    assert victim in batch.hosts()
    assert cluster.worker_container.stats()["retried"] == 0


def test_a_worker_without_network_loses_its_task_to_others_and_comes_back(
    make: Make, eventually: Eventually
) -> None:
    cluster = make()
    cluster.start()
    batch = Batch(cluster)
    eventually(batch.at_the_gate, "both workers to be at work")
    (victim, container), (survivor, other) = workers(cluster).items()
    docker("network", "disconnect", network_of(cluster), container)
    batch.open(other)
    assert set(batch.hosts()[100:]) == {survivor}
    assert hosts(cluster) == {survivor}
    assert cluster.worker_container.stats()["retried"] == 1
    docker("network", "connect", network_of(cluster), container)
    # It still has the old task in hand, and nobody wants that any more.
    batch.open(container)
    eventually(lambda: takes_part(cluster, victim), "the worker to take part again")


def test_a_paused_worker_loses_its_task_to_others_and_comes_back(
    make: Make, eventually: Eventually
) -> None:
    cluster = make()
    cluster.start()
    batch = Batch(cluster)
    eventually(batch.at_the_gate, "both workers to be at work")
    (victim, container), (survivor, other) = workers(cluster).items()
    docker("pause", container)
    batch.open(other)
    assert set(batch.hosts()[100:]) == {survivor}
    assert hosts(cluster) == {survivor}
    docker("unpause", container)
    batch.open(container)
    eventually(lambda: takes_part(cluster, victim), "the worker to take part again")
    assert cluster.worker_container.stats()["retried"] == 1


def test_a_cluster_with_a_paused_worker_stops(make: Make) -> None:
    cluster = make()
    cluster.start()
    docker("pause", next(iter(workers(cluster).values())))
    cluster.stop()
    assert leftovers(cluster.config.job_queue_name) == {}
