"""A platform in memory, a provider for it, and a container, for the tests of scaling."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from dockerparallel import (
    DockerCluster,
    DockerContainer,
    DockerHardware,
    ServerAddress,
    Status,
)
from dockerparallel_managed_provider import ManagedCloudProvider


class Platform:
    """Runs containers in memory, and notes what it was asked."""

    def __init__(self) -> None:
        self.containers: dict[str, Status] = {}
        self.calls: list[tuple[str, list[str]]] = []
        self.started = 0
        self.immortal: set[str] = set()
        self.per_container = 1

    def __deepcopy__(self, memo: object) -> Self:
        # There is one platform, whoever copies the provider.
        return self

    def run(self, number: int) -> list[str]:
        """Start containers for ``number`` workers and return a handle per worker."""
        handles: list[str] = []
        while len(handles) < number:
            self.started += 1
            handle = f"c{self.started}"
            self.containers[handle] = Status.INITIALIZING
            handles += [handle] * min(self.per_container, number - len(handles))
        return handles

    def set_all(self, status: Status) -> None:
        """Give every container a status."""
        self.containers = dict.fromkeys(self.containers, status)

    def called(self, name: str) -> list[list[str]]:
        """Return the handles of each call of that name."""
        return [handles for called, handles in self.calls if called == name]


class FakeProvider(ManagedCloudProvider):
    """Has no call of the base class's ``__init__``, as an author may write it."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        pass

    def stop_server(self, cluster: DockerCluster) -> None:
        pass

    def server_address(self, cluster: DockerCluster) -> ServerAddress:
        return ServerAddress("127.0.0.1", 1, "127.0.0.1", 1)

    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        self.platform.calls.append(("run", [str(worker_number)]))
        return self.platform.run(worker_number)

    def worker_status(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        self.platform.calls.append(("status", handles))
        return [self.platform.containers.get(handle, Status.STOPPED) for handle in handles]

    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        self.platform.calls.append(("kill", handles))
        for handle in handles:
            if handle not in self.platform.immortal:
                self.platform.containers.pop(handle, None)
        return [handle not in self.platform.immortal for handle in handles]


@dataclasses.dataclass(repr=False)
class FakeContainer(DockerContainer):
    """Needs nothing to be configured."""

    def configure_server_env(self, cluster: DockerCluster) -> Self:
        return self.copy()

    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        return self.copy()

    def register_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        pass

    def deregister_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        pass

    def server_container(self) -> DockerContainer:
        return FakeContainer(image="server")


def make_cluster(provider: ManagedCloudProvider) -> DockerCluster:
    """Return a cluster whose server runs, without workers."""
    cluster = DockerCluster(
        provider=provider,
        worker_container=FakeContainer(image="worker"),
        worker_number=0,
        stop_on_exit=False,
        verbose=1,
    )
    cluster.start()
    return cluster
