"""A container of which nothing runs, and clusters of it, for tests against the harness."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

import boto3
from ecs_fargate_sessions import REGION

from dockerparallel import DockerCluster, DockerContainer
from dockerparallel_ecs_fargate_provider import ECSFargateProvider
from dockerparallel_ecs_fargate_provider.deployment import Deployment
from dockerparallel_fargate_harness import FargateHarness

PASSWORD = "pass-word-of-the-server"
TOKEN = "token-of-the-user"
NOTE = "note-in-the-static-data"
ECS_CLUSTER = "lab"
DEADLINE = 20.0

_T = TypeVar("_T")


@dataclasses.dataclass(repr=False)
class TinyFargateContainer(DockerContainer):
    """Configures itself as a container of a real backend does."""

    image: str = "tiny:1"
    packages: list[str] = dataclasses.field(default_factory=list)
    note: str = NOTE

    def configure_server_env(self, cluster: DockerCluster) -> Self:
        container = self.copy()
        container.environment["PORT"] = str(cluster.config.server_port)
        container.secrets["SERVER_PASSWORD"] = cluster.config.server_password
        return container

    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        container = self.copy()
        container.environment["WORKERS"] = str(worker_number)
        container.environment["SERVER"] = ":".join(map(str, cluster.server_address_for_workers()))
        if self.packages:
            container.environment["PACKAGES"] = "\n".join(self.packages)
        container.secrets["SERVER_PASSWORD"] = cluster.config.server_password
        return container

    def register_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        pass

    def deregister_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        pass

    def server_container(self) -> TinyFargateContainer:
        return TinyFargateContainer(image=self.image)


class Account:
    """The account of the harness, as the sessions of its users come to it.

    Parameters
    ----------
    harness
        Where AWS is.
    boto
        The credentials of all.
    port
        On which every address of this machine accepts connections, as servers of clusters do.
    """

    def __init__(self, harness: FargateHarness, boto: boto3.Session, port: int) -> None:
        self.harness = harness
        self.boto = boto
        self.port = port

    def provider(self, **options: Any) -> ECSFargateProvider:
        """Return a provider of a new session."""
        given = {
            "cluster_name": ECS_CLUSTER,
            "region": REGION,
            "session": self.boto,
            "endpoint_url": self.harness.endpoint_url,
            "checkip_url": self.harness.checkip_url,
            "poll_interval": 0.05,
            **options,
        }
        return ECSFargateProvider(**given)

    def cluster(
        self,
        name: str = "queue",
        workers: int = 2,
        *,
        container: DockerContainer | None = None,
        per_task: int = 1,
        cluster_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> DockerCluster:
        """Return a cluster of a new session, not started; options are the provider's."""
        if container is None:
            container = TinyFargateContainer(
                max_worker_num=per_task, secrets={"TOKEN": TOKEN}, environment={"COLOUR": "green"}
            )
        cluster = DockerCluster(
            **{
                "provider": self.provider(**options),
                "worker_container": container,
                "worker_number": workers,
                "job_queue_name": name,
                "stop_on_exit": False,
                "verbose": 0,
                **(cluster_options or {}),
            }
        )
        cluster.config.server_port = self.port
        cluster.config.server_password = PASSWORD
        return cluster

    def started(self, name: str = "queue", workers: int = 2, **options: Any) -> DockerCluster:
        """Return a cluster of a new session, started."""
        cluster = self.cluster(name, workers, **options)
        cluster.start()
        return cluster

    def tasks(self) -> list[dict[str, Any]]:
        """Return what DescribeTasks says of the tasks that live."""
        ecs = self.harness.client("ecs")
        arns = [task.arn for task in self.harness.tasks() if task.status != "STOPPED"]
        found: list[dict[str, Any]] = []
        for start in range(0, len(arns), 100):
            answer = ecs.describe_tasks(
                cluster=ECS_CLUSTER, tasks=arns[start : start + 100], include=["TAGS"]
            )
            found += answer["tasks"]
        return [task for task in found if task["desiredStatus"] == "RUNNING"]

    def parameters(self) -> dict[str, str]:
        """Return all parameters below ours, decrypted, by their names."""
        pages = self.harness.client("ssm").get_paginator("get_parameters_by_path")
        found = pages.paginate(Path="/dockerparallel", Recursive=True, WithDecryption=True)
        return {one["Name"]: one["Value"] for page in found for one in page["Parameters"]}


class Acceptor:
    """Accepts connections on one port of all addresses, and hangs up."""

    def __init__(self) -> None:

        self._socket = socket.create_server(("", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:

        # Closing alone does not wake who waits for a connection.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(DEADLINE)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.close()


def deployment_of(cluster: DockerCluster) -> Deployment:
    """Return what the provider of a cluster knows of it."""
    provider = cluster.state.provider
    assert isinstance(provider, ECSFargateProvider)
    return provider._deployment


def counted(harness: FargateHarness, *beginnings: str) -> Counter[str]:
    """Return how often each action was called whose name begins so; all by default."""
    return Counter(
        call.action for call in harness.calls() if call.action.startswith(beginnings or ("",))
    )


def wait_until(what: str, condition: Callable[[], _T]) -> _T:
    """Return what ``condition`` gives once it is true, and fail when that takes too long."""
    deadline = time.monotonic() + DEADLINE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {DEADLINE:g} s in vain for {what}"
        time.sleep(0.02)
    return value


def running(cluster: DockerCluster, number: int) -> None:
    """Wait until so many workers run, and no more are on their way."""
    wait_until(
        f"{number} running workers",
        lambda: tuple(cluster.worker_numbers())[:2] == (0, number),
    )
