"""Clusters of real containers for tests that do harm to them, and the look at what is left."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from local_docker_tasks import square

from dockerparallel import DockerCluster
from dockerparallel_local_docker_provider import LocalDockerProvider
from dockerparallel_redis_queue_container import RedisQueueWorkerContainer
from dockerparallel_redis_queue_container.settings import HEARTBEAT, LEASE

COMMAND_SECONDS = 60
RESULT_SECONDS = 60
# Other test runs may use the engine at the same time.
PREFIX = f"fault-{os.getpid()}-{secrets.token_hex(2)}"
SHORT_LEASE = {LEASE: "3", HEARTBEAT: "0.5"}
HARDWARE = {"worker_memory": 512, "server_cpu": 1024, "server_memory": 512}

Eventually = Callable[..., Any]
Make = Callable[..., DockerCluster]

_numbers = itertools.count()


def docker(*arguments: str) -> str:
    """Run the docker command and return all that it wrote."""
    done = subprocess.run(
        ["docker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}"
    return done.stdout.strip()


def new_name() -> str:
    """Return a name for a cluster that no other test of any run has."""
    return f"{PREFIX}-{next(_numbers)}"


@pytest.fixture(name="make")
def make_fixture(redis_queue_image: str) -> Iterator[Make]:
    """Make clusters, not started, with short leases; stop them after the test."""
    made: list[DockerCluster] = []

    def make(
        environment: dict[str, str] | None = None,
        secret: dict[str, str] | None = None,
        max_worker_num: int = 1,
        **options: Any,
    ) -> DockerCluster:
        container = RedisQueueWorkerContainer(
            image=redis_queue_image,
            environment=SHORT_LEASE | (environment or {}),
            secrets=secret or {},
            max_worker_num=max_worker_num,
        )
        settings: dict[str, Any] = {
            "job_queue_name": new_name(),
            "verbose": 0,
            "worker_number": 2,
            **HARDWARE,
        }
        made.append(DockerCluster(LocalDockerProvider(), container, **(settings | options)))
        return made[-1]

    yield make
    volumes = mounted_volumes()
    for cluster in made:
        cluster.stop()
    # The engine gives them no label, and names that say nothing.
    assert not volumes & set(docker("volume", "ls", "--quiet").splitlines())


@pytest.fixture(name="nothing_of_ours_is_left", autouse=True)
def nothing_of_ours_is_left_fixture() -> Iterator[None]:
    """Fail a test that leaves a container, network, volume or image of one of its clusters."""
    assert leftovers() == {}
    yield
    assert leftovers() == {}


def leftovers(name: str = PREFIX) -> dict[str, list[str]]:
    """Return, by kind, what the engine has of clusters whose names begin so."""
    mark = '{{.Label "dockerparallel.cluster"}}'
    listings = {
        "containers": ("ps", "--all", "--format", f"{{{{.Names}}}} {mark}"),
        "networks": ("network", "ls", "--format", f"{{{{.Name}}}} {mark}"),
        "volumes": ("volume", "ls", "--format", f"{{{{.Name}}}} {mark}"),
        "images": ("images", "--format", "{{.Repository}}:{{.Tag}}"),
    }
    found = {kind: docker(*command).splitlines() for kind, command in listings.items()}
    ours = {kind: [line for line in lines if name in line] for kind, lines in found.items()}
    return {kind: lines for kind, lines in ours.items() if lines}


def mounted_volumes() -> set[str]:
    """Return the volumes that containers of our clusters have now."""
    listing = ("ps", "--all", "--no-trunc", f"--filter=name={PREFIX}", "--format={{.Mounts}}")
    return set(docker(*listing).replace(",", "\n").split())


def inspect(container: str) -> dict[str, Any]:
    """Return what the engine tells everybody of a container."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", container))
    return found[0]


def workers(cluster: DockerCluster) -> dict[str, str]:
    """Return the containers of the workers, dead ones too: names in the engine by host name."""
    containers: dict[str, str] = cluster.cloud_provider.containers()
    return {handle: name for handle, name in containers.items() if handle != "server"}


def hosts(cluster: DockerCluster) -> set[str]:
    """Return the host names of the workers that the queue knows."""
    return {worker["host"] for worker in cluster.worker_container.stats()["workers"]}


class Batch:
    """Tasks that are under way, one at the gate in each worker, when harm is done.

    Parameters
    ----------
    cluster
        Where they run.
    gates
        How many tasks come to stand until :meth:`open`: one for each worker.
    size, before
        How many tasks there are, and how many of them need not pass the gate.
    """

    def __init__(
        self, cluster: DockerCluster, gates: int = 2, size: int = 1000, before: int = 100
    ) -> None:
        self.cluster = cluster
        self._gate = f"/tmp/gate-{secrets.token_hex(4)}"  # noqa: S108 - in a container of ours
        self._gates = gates
        self.executor = cluster.worker_container.executor()
        # A worker claims many at a time, so it is not known beforehand which it will stand at.
        self.futures = [
            self.executor.submit(square, number, self._gate if number >= before else "")
            for number in range(size)
        ]

    def at_the_gate(self, *containers: str) -> bool:
        """Tell whether each worker stands at the gate, and holds no other task any more.

        The workers are in these containers; by default in those that local-docker has for them.
        """
        marks = f"ls -d {self._gate}-* 2>/dev/null | wc -l"
        places = containers or workers(self.cluster).values()
        standing = sum(int(docker("exec", name, "sh", "-c", marks)) for name in places)
        running: int = self.cluster.worker_container.stats()["running"]
        return standing == running == self._gates

    def open(self, *containers: str) -> None:
        """Let the tasks of these containers, and those that come there later, go on."""
        for container in containers:
            docker("exec", container, "touch", self._gate)

    def hosts(self) -> list[str]:
        """Wait for all results, see that each is right and came once, and return who gave them."""
        results = [future.result(RESULT_SECONDS) for future in self.futures]
        assert [value for value, _ in results] == [n * n for n in range(len(results))]
        assert self.cluster.worker_container.stats()["done"] == len(results)
        return [host for _, host in results]
