"""Containers of a cluster that are killed, by the engine's own means, while they compute."""

from __future__ import annotations

import pytest
from local_docker_rig import (
    RESULT_SECONDS,
    Batch,
    Eventually,
    Make,
    docker,
    hosts,
    leftovers,
    make_fixture,  # noqa: F401 - a fixture
    nothing_of_ours_is_left_fixture,  # noqa: F401 - a fixture
    workers,
)
from local_docker_tasks import square

from dockerparallel import BrokenClusterError

# Making the images included.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


def test_all_results_arrive_once_although_a_container_is_killed(
    make: Make, eventually: Eventually
) -> None:
    cluster = make()
    cluster.start()
    batch = Batch(cluster)
    eventually(batch.at_the_gate, "both workers to be at work")
    (victim, container), (survivor, other) = workers(cluster).items()
    docker("kill", container)
    batch.open(other)
    assert set(batch.hosts()[100:]) == {survivor}
    assert cluster.worker_container.stats()["retried"] == 1
    assert cluster.worker_numbers().running == 1
    cluster.update()
    assert cluster.worker_numbers().running == 2
    assert victim not in workers(cluster)
    eventually(lambda: hosts(cluster) == set(workers(cluster)), "the new worker to be at work")


def test_a_killed_server_fails_every_future_and_the_cluster_can_start_again(
    make: Make, eventually: Eventually
) -> None:
    cluster = make()
    cluster.start()
    cluster.deregister_backend()
    cluster.register_backend(server_timeout=2)
    batch = Batch(cluster)
    eventually(batch.at_the_gate, "both workers to be at work")
    eventually(lambda: all(f.done() for f in batch.futures[:100]), "the results before the gate")
    docker("kill", cluster.cloud_provider.containers()["server"])
    for future in batch.futures[100:]:
        assert isinstance(future.exception(RESULT_SECONDS), BrokenClusterError)
    with pytest.raises(BrokenClusterError):
        batch.executor.submit(square, 2)
    assert not cluster.is_server_running()
    cluster.stop()
    assert leftovers(cluster.config.job_queue_name) == {}
    cluster.start()
    assert cluster.worker_container.executor().submit(square, 2).result(RESULT_SECONDS)[0] == 4
