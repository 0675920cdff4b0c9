"""Sessions that come and go: reconnecting, being killed, leaving, forking."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from local_docker_parts import (
    TinyContainer,
    container_names,
    docker,
    in_container,
    network_names,
    run_session,
    session,
)

from dockerparallel import (
    ClusterNotFoundError,
    DockerCluster,
    ExternalServer,
    StaticDataError,
    WorkerNumbers,
)
from dockerparallel_local_docker_provider import EngineCluster, LocalDockerProvider
from dockerparallel_local_docker_provider.files import STATIC_DATA_FILE

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

Make = Callable[..., DockerCluster]

BEGIN = """
import os, sys, time
from local_docker_parts import TinyContainer
from dockerparallel import DockerCluster
from dockerparallel_local_docker_provider import LocalDockerProvider

def make(**options):
    return DockerCluster(
        provider=LocalDockerProvider(stop_timeout=5.0),
        worker_container=TinyContainer(sys.argv[2]),
        job_queue_name=sys.argv[1], worker_number=2, worker_cpu=256, worker_memory=64,
        server_memory=64, verbose=0, **options,
    )
"""

RECONNECT = """
cluster = make()
cluster.reconnect()
print(cluster.config.server_password)
print(*cluster.worker_numbers())
print(cluster.state.worker_container.environment["COLOUR"])
cluster.set_worker_number(1)
print(*sorted(cluster.cloud_provider.containers()))
"""


def test_another_process_takes_the_cluster_over(
    make_cluster: Make, base_image: str, prefix: str
) -> None:
    container = TinyContainer(base_image, environment={"COLOUR": "blue"})
    cluster = make_cluster(container, worker_number=2)
    cluster.start()
    password, numbers, colour, handles = run_session(
        BEGIN + RECONNECT, prefix, base_image
    ).splitlines()
    assert password == cluster.config.server_password
    assert numbers == "0 2 2"
    assert colour == "blue"
    # It has left the cluster running, and this session sees what it did.
    assert cluster.worker_numbers().running == 1
    assert handles.split() == sorted(cluster.cloud_provider.containers())
    assert cluster.is_server_running()


def test_what_is_set_later_is_stored_too(make_cluster: Make) -> None:
    cluster = make_cluster()
    cluster.start()
    cluster.state.worker_container.environment["COLOUR"] = "green"
    cluster.set_worker_number(2)
    other = make_cluster()
    other.reconnect()
    container = other.state.worker_container
    assert container.environment["COLOUR"] == "green"
    assert other.worker_numbers() == WorkerNumbers(0, 2, 2)


def test_there_is_nothing_to_take_over(make_cluster: Make) -> None:
    with pytest.raises(ClusterNotFoundError):
        make_cluster().reconnect()


def test_a_cluster_whose_server_was_removed_cannot_be_taken_over_but_replaced(
    make_cluster: Make, base_image: str, prefix: str
) -> None:
    cluster, other = make_cluster(), make_cluster()
    cluster.start()
    docker("rm", "--force", f"dockerparallel-{prefix}-server")
    with pytest.raises(StaticDataError, match=f"local_docker_provider remove {prefix}'"):
        other.reconnect()
    other.start(if_exists="new")
    assert other.worker_numbers().running == 1
    assert other.is_server_running()
    assert len(container_names(prefix)) == 2


def test_damaged_static_data_is_told(make_cluster: Make, prefix: str) -> None:
    cluster = make_cluster()
    cluster.start()
    server = f"dockerparallel-{prefix}-server"
    in_container(server, "sh", "-c", f"chmod 600 {STATIC_DATA_FILE}; echo >{STATIC_DATA_FILE}")
    with pytest.raises(StaticDataError, match=f"'{server}', .* cannot be read"):
        make_cluster().reconnect()


def test_a_killed_session_leaves_a_cluster_that_another_can_find_and_remove(
    base_image: str, prefix: str
) -> None:
    script = BEGIN + "cluster = make(); cluster.start(); print('runs', flush=True); time.sleep(600)"
    with session(script, prefix, base_image) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        process.send_signal(signal.SIGKILL)
    provider = LocalDockerProvider(stop_timeout=5.0)
    (found,) = [item for item in provider.list_clusters() if item.name == prefix]
    assert isinstance(found, EngineCluster)
    assert (found.server_runs, found.worker_number) == (True, 2)
    assert sorted(found.containers) == container_names(prefix)
    assert found.networks == (f"dockerparallel-{prefix}",)
    assert "@" in found.owner
    assert found.version
    for _ in range(2):
        provider.remove_cluster(prefix)
        assert container_names(prefix) == network_names(prefix) == []
    provider._connection.close()


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "os.kill(os.getpid(), 15); time.sleep(60)"])
def test_a_session_that_leaves_stops_its_cluster(base_image: str, prefix: str, end: str) -> None:
    script = f"{BEGIN}\ncluster = make()\ncluster.start()\nprint('runs', flush=True)\n{end}"
    with session(script, prefix, base_image) as process:
        output, errors = process.communicate(timeout=90)
    assert (output, errors) == ("runs\n", "")
    assert container_names(prefix) == network_names(prefix) == []


FORK = """
cluster = make()
cluster.start()
provider = cluster.state.provider
engine = provider._connection.engine
child = os.fork()
if child == 0:
    # A child of its own: other connections, the same cluster, and no right to stop it.
    assert provider._connection.engine is not engine
    print("child", cluster.worker_numbers().running, flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
assert provider._connection.engine is engine
print("parent", cluster.worker_numbers().running, status)
"""


def test_a_forked_child_has_connections_of_its_own(base_image: str, prefix: str) -> None:
    assert run_session(BEGIN + FORK, prefix, base_image) == "child 2\nparent 2 0\n"


def external(base_image: str) -> dict[str, object]:
    """Return the options of a cluster whose server is somebody else's."""
    server = ExternalServer(private_ip="10.1.2.3", password="theirs", server_worker_same_lan=True)
    return {"private_server": server, "container": TinyContainer(base_image)}


def test_with_an_external_server_the_static_data_is_in_a_store(
    make_cluster: Make, base_image: str, prefix: str
) -> None:
    cluster = make_cluster(**external(base_image), worker_number=2)
    # Twice: the store goes with the cluster, and the second one needs its own.
    for _ in range(2):
        cluster.start()
        assert f"dockerparallel-{prefix}-store" in container_names(prefix)
        assert "store" not in cluster.cloud_provider.containers()
        other = make_cluster(**external(base_image))
        other.config.server_password = "forgotten"
        other.reconnect()
        assert other.config.server_password == "theirs"
        assert other.worker_numbers() == WorkerNumbers(0, 2, 2)
        cluster.stop()
        assert container_names(prefix) == network_names(prefix) == []


def test_a_store_alone_is_no_cluster(make_cluster: Make, base_image: str, prefix: str) -> None:
    cluster = make_cluster(**external(base_image))
    cluster.start()
    docker("rm", "--force", *cluster.state.provider.worker_names(cluster))
    assert container_names(prefix) == [f"dockerparallel-{prefix}-store"]
    assert not cluster.exists()
