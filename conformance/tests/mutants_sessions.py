"""Mutants of the promises P-39 to P-46: handles, processes, reconnecting, external servers."""

from __future__ import annotations

import atexit
import contextlib
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from memory_cloud import CloudAddress, CloudError, ContainerInfo
from memory_provider import MemoryProvider
from mutation import Mutant

from dockerparallel import (
    DockerCluster,
    DockerContainer,
    DockerHardware,
    ProviderError,
    ServerAddress,
    Status,
    WorkerNumbers,
)


class KeepsTheHandle(MemoryProvider):
    """Keeps the clusters that it serves in a list."""

    kept: list[DockerCluster] | None = None

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        self.kept = [cluster]
        super().run_server(cluster, container, hardware)


class KnowsOneHandle(MemoryProvider):
    """Stops a server only for the very handle that has started it."""

    handle: Any = None

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        super().run_server(cluster, container, hardware)
        self.handle = weakref.ref(cluster)

    def stop_server(self, cluster: DockerCluster) -> None:
        if self.handle is None or self.handle() is cluster:
            super().stop_server(cluster)


class KnowsHandlesByNumber(MemoryProvider):
    """Finds its server by the handle that it has started it with."""

    servers: dict[int, str] | None = None

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        super().run_server(cluster, container, hardware)
        self.servers = {id(cluster): str(self.server_id)}

    def stop_server(self, cluster: DockerCluster) -> None:
        if self.server_id is not None and self.servers is not None:
            self.kill([self.servers[id(cluster)]])
            self.server_id = None


class EndsInThreads(MemoryProvider):
    """Ends containers at the same time, each from a thread."""

    def kill(self, handles: list[str]) -> list[bool]:
        with ThreadPoolExecutor() as pool:
            return list(
                pool.map(lambda handle: super(EndsInThreads, self).kill([handle])[0], handles)
            )


class DoesNothingAtExit(MemoryProvider):
    """Hands killing over to the main thread, which has ended when the interpreter is left."""

    def kill(self, handles: list[str]) -> list[bool]:
        if not threading.main_thread().is_alive():
            return [True for _ in handles]
        return super().kill(handles)


def kill_all(cloud: CloudAddress, name: str) -> None:
    """End all containers of a cluster."""
    # The platform may be gone already when the tests end.
    with contextlib.suppress(CloudError, OSError):
        cloud.kill([info.id for info in cloud.containers(name)])


class KillsAtExit(MemoryProvider):
    """Ends what it has started by an exit handler of its own, whatever the user wants."""

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        super().run_server(cluster, container, hardware)
        atexit.register(kill_all, self.cloud, self.cluster_name(cluster))


class LosesThePassword(MemoryProvider):
    """Stores no password, since it is secret."""

    def stored_data(self, cluster: DockerCluster) -> dict[str, Any]:
        data: dict[str, Any] = super().stored_data(cluster)
        del data["config"]["server_password"]
        return data


class LosesTheEnvironment(MemoryProvider):
    """Stores the settings, and not the containers."""

    def stored_data(self, cluster: DockerCluster) -> dict[str, Any]:
        return {**super().stored_data(cluster), "worker_container": None}


class LosesAWorker(MemoryProvider):
    """Finds all workers but one when it reconnects."""

    def take_workers(self, living: list[ContainerInfo]) -> None:
        workers = [info for info in living if info.role == "worker"]
        super().take_workers(workers[1:])


class CountsContainers(MemoryProvider):
    """Takes each container that it finds for one worker."""

    def take_workers(self, living: list[ContainerInfo]) -> None:
        super().take_workers([])
        self.add_worker_handles([info.id for info in living if info.role == "worker"])


class RemembersTheAddress(MemoryProvider):
    """Remembers where its server is, and does not ask the platform."""

    address = ServerAddress()

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        super().run_server(cluster, container, hardware)
        self.address = super().server_address(cluster)

    def server_address(self, cluster: DockerCluster) -> ServerAddress:
        return self.address


class EndsWhatItTakesOver(MemoryProvider):
    """Ends the workers of the other session, and goes on counting them."""

    taken: frozenset[str] = frozenset()

    def take_workers(self, living: list[ContainerInfo]) -> None:
        super().take_workers(living)
        self.taken = frozenset(self.worker_handles())
        self.cloud.kill(sorted(self.taken))

    def worker_status(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        found = zip(handles, super().worker_status(cluster, handles), strict=True)
        return [Status.RUNNING if handle in self.taken else status for handle, status in found]


class StopsWhatItHasStarted(MemoryProvider):
    """Stops a server only where it has started one itself."""

    has_started = False

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        self.has_started = True
        super().run_server(cluster, container, hardware)

    def stop_server(self, cluster: DockerCluster) -> None:
        if self.has_started:
            super().stop_server(cluster)


class ForgetsTheHandles(MemoryProvider):
    """Restores what is counted, and not the handles by which it is killed."""

    def take_workers(self, living: list[ContainerInfo]) -> None:
        pass

    def worker_numbers(self, cluster: DockerCluster) -> WorkerNumbers:
        workers = [info for info in self.listed(cluster) if info.role == "worker"]
        numbers = dict.fromkeys(Status, 0)
        for info in workers:
            numbers[info.status] += int(info.labels["workers"])
        return WorkerNumbers(numbers[Status.INITIALIZING], numbers[Status.RUNNING])


class NeedsAServerOfItsOwn(MemoryProvider):
    """Starts workers only beside a server that it has started itself."""

    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        if self.server_id is None:
            raise ProviderError("there is no server for the workers")
        return super().run_worker_containers(cluster, container, hardware, worker_number)


class StartsAServerBeside(MemoryProvider):
    """Starts a server of its own for workers, if it runs none."""

    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        server = cluster.state.server_container
        if self.server_id is None and server is not None:
            self.run_server(cluster, server.configure_server_env(cluster), hardware)
        return super().run_worker_containers(cluster, container, hardware, worker_number)


MUTANTS = (
    Mutant("P-39", KeepsTheHandle),
    Mutant("P-40", KnowsOneHandle, timeout=3.0),
    Mutant("P-40", KnowsHandlesByNumber),
    Mutant("P-41", DoesNothingAtExit, timeout=4.0),
    Mutant("P-41", EndsInThreads, timeout=4.0),
    Mutant("P-42", KillsAtExit),
    Mutant("P-43", LosesThePassword),
    Mutant("P-43", LosesTheEnvironment),
    Mutant("P-43", LosesAWorker),
    Mutant("P-43", CountsContainers),
    Mutant("P-44", RemembersTheAddress),
    Mutant("P-44", EndsWhatItTakesOver, timeout=4.0),
    Mutant("P-45", ForgetsTheHandles, timeout=4.0),
    Mutant("P-45", StopsWhatItHasStarted, timeout=4.0),
    Mutant("P-46", NeedsAServerOfItsOwn),
    Mutant("P-46", StartsAServerBeside),
)
