"""What a running cluster shows, and to whom: environment, secrets, ports, limits, labels."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from local_docker_clusters import maker, remains
from local_docker_parts import IMAGE_LABEL, TinyContainer, docker, in_container, inspect

from dockerparallel import DockerCluster
from dockerparallel_local_docker_provider.files import SECRETS_DIR, STATIC_DATA_FILE

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

Make = Callable[..., DockerCluster]
USERS_SECRET = "key 4711 'quoted'"


@pytest.fixture(scope="module")
def shown(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerCluster]:
    """Give a cluster that the tests of this module only look at."""
    name = f"dpt-{tmp_path_factory.mktemp('shown').stat().st_ino}-shown"
    container = TinyContainer(
        base_image,
        max_worker_num=2,
        environment={"COLOUR": "bläu = 1", "EMPTY": ""},
        secrets={"LICENCE": USERS_SECRET},
    )
    with ExitStack() as clusters:
        cluster = maker(clusters, name, base_image)(container, worker_number=3)
        cluster.start()
        yield cluster
    left = remains(name)
    assert not left


def about(cluster: DockerCluster) -> dict[str, dict[str, Any]]:
    """Return what the engine tells of each container, by handle; workers by number of workers."""
    names = cluster.cloud_provider.containers()
    found = {}
    for handle, item in zip(names, inspect(*names.values()), strict=True):
        workers = item["Config"]["Labels"]["dockerparallel.workers"]
        found["server" if handle == "server" else workers] = item
    return found


def test_three_workers_share_two_containers(shown: DockerCluster) -> None:
    assert set(about(shown)) == {"server", "1", "2"}
    assert shown.worker_numbers().running == 3


def test_nobody_who_inspects_sees_a_secret(shown: DockerCluster) -> None:
    network = f"dockerparallel-{shown.config.job_queue_name}"
    text = json.dumps([*about(shown).values(), *inspect(network)])
    for secret in (shown.config.server_password, USERS_SECRET):
        assert json.dumps(secret)[1:-1] not in text


def test_the_users_environment_is_there(shown: DockerCluster) -> None:
    containers = about(shown)
    for key, item in containers.items():
        variables = dict(entry.split("=", 1) for entry in item["Config"]["Env"])
        if key != "server":
            assert (variables["COLOUR"], variables["EMPTY"]) == ("bläu = 1", "")
            assert variables["WORKERS"] == key
            address = shown.state.runtime.server_address
            assert variables["SERVER"] == f"{address.private_ip}:{shown.config.server_port}"
        assert variables["DOCKERPARALLEL_SECRETS_DIR"] == SECRETS_DIR


def test_secrets_are_files_of_the_containers_user(shown: DockerCluster) -> None:
    worker = about(shown)["2"]["Name"].removeprefix("/")
    read = in_container(worker, "cat", f"{SECRETS_DIR}/LICENCE")
    assert read.stdout == USERS_SECRET
    modes = in_container(worker, "stat", "-c", "%a %u:%g", SECRETS_DIR, f"{SECRETS_DIR}/LICENCE")
    assert modes.stdout.splitlines() == ["700 0:0", "400 0:0"]
    assert in_container(worker, "ls", SECRETS_DIR, user="nobody").returncode != 0
    assert in_container(worker, "cat", STATIC_DATA_FILE).returncode != 0


def test_the_server_is_published_on_loopback_alone(shown: DockerCluster) -> None:
    containers = about(shown)
    ports = containers["server"]["NetworkSettings"]["Ports"]
    address = shown.state.runtime.server_address
    assert ports == {
        f"{shown.config.server_port}/tcp": [
            {"HostIp": "127.0.0.1", "HostPort": str(address.public_port)}
        ]
    }
    assert address.public_ip == "127.0.0.1"
    assert not containers["1"]["NetworkSettings"]["Ports"]


def test_limits_are_those_of_all_workers_in_a_container(shown: DockerCluster) -> None:
    limits = {
        key: (item["HostConfig"]["NanoCpus"], item["HostConfig"]["Memory"] // 1024**2)
        for key, item in about(shown).items()
    }
    quarter = 250_000_000
    assert limits == {"server": (quarter, 64), "1": (quarter, 64), "2": (2 * quarter, 128)}
    for item in about(shown).values():
        assert item["HostConfig"]["MemorySwap"] == item["HostConfig"]["Memory"]
        assert item["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]
        assert item["HostConfig"]["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}


def test_the_network_is_the_clusters_alone(shown: DockerCluster) -> None:
    network = f"dockerparallel-{shown.config.job_queue_name}"
    for item in about(shown).values():
        assert list(item["NetworkSettings"]["Networks"]) == [network]
    (told,) = inspect(network)
    assert len(told["Containers"]) == 3
    addresses = {item["IPv4Address"].partition("/")[0] for item in told["Containers"].values()}
    assert shown.state.runtime.server_address.private_ip in addresses


def test_labels_tell_what_is_what(shown: DockerCluster) -> None:
    name = shown.config.job_queue_name
    (network,) = inspect(f"dockerparallel-{name}")
    identity = network["Labels"]["dockerparallel.cluster-id"]
    for key, item in about(shown).items():
        labels = item["Config"]["Labels"]
        assert labels["dockerparallel.cluster"] == name
        assert labels["dockerparallel.cluster-id"] == identity
        assert labels["dockerparallel.role"] == ("server" if key == "server" else "worker")
        assert labels["dockerparallel.owner"].startswith(f"{getpass.getuser()}@")
        assert item["Name"] == f"/dockerparallel-{name}-{labels['dockerparallel.handle']}"
        assert item["Config"]["Hostname"] == labels["dockerparallel.handle"]


@pytest.mark.parametrize(
    ("user", "uid"), [("1000:1000", 1000), ("app", 1234), ("app:root", 1234)], ids=str
)
def test_an_image_with_a_user_of_its_own(
    make_cluster: Make, base_image: str, prefix: str, user: str, uid: int
) -> None:
    recipe = f"FROM {base_image}\nLABEL {IMAGE_LABEL}={prefix}\n"
    recipe += f"RUN echo app:x:1234:5678::/:/bin/sh >> /etc/passwd\nUSER {user}\n"
    container = TinyContainer(f"{prefix}:1", recipe=recipe, secrets={"LICENCE": "key-4711"})
    cluster = make_cluster(container)
    cluster.start()
    containers = cluster.cloud_provider.containers()
    server = containers.pop("server")
    (worker,) = containers.values()
    assert in_container(worker, "id", "-u").stdout == f"{uid}\n"
    assert in_container(worker, "cat", f"{SECRETS_DIR}/LICENCE").stdout == "key-4711"
    # The server has read its password; what else the cluster knows is not for its user.
    assert in_container(server, "ls", SECRETS_DIR).stdout == "TINY_PASSWORD\n"
    assert in_container(server, "cat", STATIC_DATA_FILE).returncode != 0
    assert in_container(server, "cat", STATIC_DATA_FILE, user="root").returncode == 0
    assert in_container(server, "ls", SECRETS_DIR, user="nobody").returncode != 0
    cluster.stop()
    docker("rmi", f"{prefix}:1")
