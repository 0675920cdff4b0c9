"""Several workers in one container, several clusters on one engine, several sessions in turn."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_docker_rig import (
    COMMAND_SECONDS,
    RESULT_SECONDS,
    Batch,
    Eventually,
    Make,
    docker,
    hosts,
    leftovers,
    make_fixture,  # noqa: F401 - a fixture
    new_name,
    nothing_of_ours_is_left_fixture,  # noqa: F401 - a fixture
    workers,
)
from local_docker_tasks import process, square

from dockerparallel import DockerCluster

# Making the images included.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

SESSION = """
import sys, time
from dockerparallel import DockerCluster
from dockerparallel_local_docker_provider import LocalDockerProvider
from dockerparallel_redis_queue_container import RedisQueueWorkerContainer

image, name = sys.argv[1:]
cluster = DockerCluster(
    LocalDockerProvider(), RedisQueueWorkerContainer(image=image), job_queue_name=name,
    worker_number=2, worker_memory=512, server_cpu=1024, server_memory=512, verbose=0,
)
cluster.start()
executor = cluster.worker_container.executor()
futures = [executor.submit(time.sleep, 0.05) for _ in range(100)]
print("computing", flush=True)
futures[-1].result()
"""


def test_packed_workers_survive_the_death_of_a_container(
    make: Make, eventually: Eventually
) -> None:
    cluster = make(max_worker_num=2, worker_number=4, worker_memory=256)
    cluster.start()
    assert len(workers(cluster)) == 2
    eventually(
        lambda: len(cluster.worker_container.stats()["workers"]) == 4, "all workers to be there"
    )
    batch = Batch(cluster, gates=4)
    eventually(batch.at_the_gate, "all workers to be at work")
    (_, container), (survivor, other) = workers(cluster).items()
    docker("kill", container)
    batch.open(other)
    assert set(batch.hosts()[104:]) == {survivor}
    assert cluster.worker_container.stats()["retried"] == 2
    assert cluster.worker_numbers().running == 2
    cluster.update()
    assert cluster.worker_numbers().running == 4
    assert len(workers(cluster)) == 2
    eventually(lambda: hosts(cluster) == set(workers(cluster)), "the new workers to be there")


def test_two_clusters_compute_side_by_side_each_on_its_own(
    make: Make, eventually: Eventually
) -> None:
    # Together they have more workers than the machine has cores, and all must be at work.
    first, second = clusters = make(worker_cpu=512), make(worker_cpu=512)
    for cluster in clusters:
        cluster.start()
    batches = [Batch(cluster) for cluster in clusters]
    for batch in batches:
        eventually(batch.at_the_gate, "both workers to be at work")
        batch.open(*workers(batch.cluster).values())
    for batch in batches:
        assert set(batch.hosts()) == set(workers(batch.cluster))
    assert not set(workers(first)) & set(workers(second))
    batch = Batch(second)
    eventually(batch.at_the_gate, "both workers to be at work")
    first.stop()
    assert leftovers(first.config.job_queue_name) == {}
    batch.open(*workers(second).values())
    # Those of the first batch are counted, too.
    assert [future.result(RESULT_SECONDS)[0] for future in batch.futures] == [
        n * n for n in range(1000)
    ]


@pytest.fixture(name="killed_session")
def killed_session_fixture(redis_queue_image: str, tmp_path: Path) -> Iterator[str]:
    """Kill a session while its cluster computes, and return the name of the cluster."""
    name = new_name()
    script = tmp_path / "session.py"
    script.write_text(SESSION)
    command = [sys.executable, str(script), redis_queue_image, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as session:
        try:
            assert session.stdout is not None
            assert session.stdout.readline() == "computing\n"
        finally:
            session.kill()
        assert session.wait(COMMAND_SECONDS) == -signal.SIGKILL
    yield name
    # Where the test has failed before it had taken the cluster over.
    program = (sys.executable, "-m", "dockerparallel_local_docker_provider", "remove", name)
    subprocess.run(program, timeout=COMMAND_SECONDS, check=True)


def test_a_second_session_takes_over_from_one_that_was_killed(
    make: Make, killed_session: str, eventually: Eventually
) -> None:
    cluster: DockerCluster = make(job_queue_name=killed_session)
    assert cluster.exists()
    cluster.start(if_exists="reconnect")
    assert cluster.worker_numbers().running == 2
    executor = cluster.worker_container.executor()
    cluster.set_worker_number(1)
    eventually(lambda: hosts(cluster) == set(workers(cluster)), "one worker to be left")
    assert len(workers(cluster)) == 1
    cluster.set_worker_number(3)
    eventually(lambda: len(hosts(cluster)) == 3, "three workers to be there")
    assert executor.submit(process).result(RESULT_SECONDS)[1] in workers(cluster)
    assert executor.submit(square, 3).result(RESULT_SECONDS)[0] == 9
    cluster.stop()
    assert leftovers(killed_session) == {}
