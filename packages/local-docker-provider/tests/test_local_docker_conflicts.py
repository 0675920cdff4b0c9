"""What others have on the engine already: ports, names, clusters of the same name."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from local_docker_parts import (
    IMAGE_LABEL,
    TinyContainer,
    container_names,
    docker,
    inspect,
    network_names,
    wait_for,
)

from dockerparallel import ClusterExistsError, DockerCluster
from dockerparallel_local_docker_provider import EngineError, LocalDockerProvider, PortTakenError
from dockerparallel_local_docker_provider.records import Ending

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

Make = Callable[..., DockerCluster]


def test_the_port_that_was_asked_for(make_cluster: Make) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cluster = make_cluster(provider=LocalDockerProvider(host_port=port))
    cluster.start()
    assert cluster.state.runtime.server_address.public_port == port
    assert port != cluster.config.server_port


def test_a_port_that_is_taken(make_cluster: Make, prefix: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cluster = make_cluster(provider=LocalDockerProvider(host_port=port))
        with pytest.raises(PortTakenError, match="host_port=None") as caught:
            cluster.start()
    assert str(port) in str(caught.value)
    assert isinstance(caught.value, OSError)
    assert container_names(prefix) == network_names(prefix) == []


def test_a_foreign_container_of_the_servers_name_is_left_alone(
    make_cluster: Make, base_image: str, prefix: str
) -> None:
    name = f"dockerparallel-{prefix}-server"
    docker("create", f"--name={name}", base_image, "true")
    try:
        with pytest.raises(ClusterExistsError, match=f"has a container '{name}' already"):
            make_cluster().start()
        assert inspect(name)[0]["State"]["Status"] == "created"
        assert network_names(prefix) == []
    finally:
        docker("rm", "--force", name)


def test_what_a_crashed_cluster_has_left_is_removed(
    make_cluster: Make, base_image: str, prefix: str
) -> None:
    label = f"--label=dockerparallel.cluster={prefix}"
    network = docker("network", "create", label, f"dockerparallel-{prefix}")
    options = [label, f"--network={network}", f"--name=dockerparallel-{prefix}-server"]
    dead = docker("run", "--detach", *options, base_image, "true")
    wait_for("its end", lambda: inspect(dead)[0]["State"]["Status"] == "exited")
    cluster = make_cluster()
    assert not cluster.exists()
    cluster.start()
    assert docker("ps", "--all", "--quiet", f"--filter=id={dead}") == ""
    (made,) = inspect(f"dockerparallel-{prefix}")
    assert made["Id"] != network
    assert "dockerparallel.cluster-id" in made["Labels"]


def test_a_cluster_that_runs_elsewhere_is_left_alone(make_cluster: Make) -> None:
    first, second = make_cluster(), make_cluster()
    first.start()
    with pytest.raises(ClusterExistsError, match="if_exists="):
        second.start()
    second.stop()
    second.state.provider.cleanup(second)
    assert first.worker_numbers().running == 1
    assert first.is_server_running()


def test_it_is_replaced_where_that_is_asked_for(make_cluster: Make, prefix: str) -> None:
    first, second = make_cluster(worker_number=2), make_cluster()
    first.start()
    old = container_names(prefix)
    second.start(if_exists="new")
    new = container_names(prefix)
    assert len(new) == 2
    assert set(new) & set(old) == {f"dockerparallel-{prefix}-server"}
    assert not first.is_server_running()
    first.stop()
    # What was started after it, under its name, is not its own to stop.
    assert second.is_server_running()
    assert second.worker_numbers().running == 1


@dataclasses.dataclass(repr=False)
class Slow(TinyContainer):
    """While its image is built, somebody else starts a cluster of the same name."""

    meanwhile = staticmethod(lambda: None)

    def write_build_context(self, folder: Path) -> dict[str, str] | None:
        type(self).meanwhile()
        return super().write_build_context(folder)


def test_another_session_that_is_faster_keeps_its_cluster(
    make_cluster: Make, base_image: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_cluster()
    monkeypatch.setattr(Slow, "meanwhile", staticmethod(first.start))
    recipe = f"FROM {base_image}\nLABEL {IMAGE_LABEL}={prefix}\n"
    slow = Slow(f"{prefix}:1", recipe=recipe)
    second = make_cluster(slow, server_container=slow)
    with pytest.raises(ClusterExistsError, match="Another session runs a cluster"):
        second.start()
    assert first.worker_numbers().running == 1
    assert first.is_server_running()
    docker("rmi", f"{prefix}:1")


def test_a_container_that_others_remove_too_is_gone_for_each(base_image: str) -> None:
    provider = LocalDockerProvider()
    engine = provider._connection.engine
    # The first process of a container hears no signal that it has no handler for: to kill it,
    # and so to remove it, takes the engine a moment.
    container = docker("run", "--detach", base_image, "sleep", "600")

    def remove() -> Ending | None:
        engine.remove(container)
        return engine.ending(container)

    with ThreadPoolExecutor(3) as pool:
        seen = [pool.submit(remove) for _ in range(3)]
        assert [done.result() for done in seen] == [None] * 3
    provider._connection.close()


def test_somebodys_own_container_on_the_network_is_told(
    make_cluster: Make, base_image: str, prefix: str
) -> None:
    cluster = make_cluster()
    cluster.start()
    network = f"dockerparallel-{prefix}"
    foreign = docker("run", "--detach", f"--network={network}", base_image, "sleep", "600")
    try:
        with pytest.raises(EngineError, match=r"could not remove a network: .*active endpoints"):
            cluster.stop()
        assert container_names(prefix) == []
    finally:
        docker("rm", "--force", foreign)
    cluster.stop()
    assert network_names(prefix) == []
