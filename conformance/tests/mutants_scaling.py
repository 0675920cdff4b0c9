"""Mutants of the promises P-13 to P-19: scaling, and sharing containers."""

from __future__ import annotations

from typing import Any

from memory_provider import MemoryProvider
from mutation import Mutant

from dockerparallel import DockerCluster, DockerContainer, DockerHardware, ProviderError


class GrowsByReplacing(MemoryProvider):
    """Ends the workers that are there before it starts more."""

    def set_worker_number(
        self, cluster: Any, container: Any, hardware: Any, worker_number: int
    ) -> None:
        if worker_number > len(self.worker_handles()):
            super().set_worker_number(cluster, container, hardware, 0)
        super().set_worker_number(cluster, container, hardware, worker_number)


class ShrinksByReplacing(MemoryProvider):
    """Ends all workers and starts as many as are to stay."""

    def set_worker_number(
        self, cluster: Any, container: Any, hardware: Any, worker_number: int
    ) -> None:
        if 0 < worker_number < len(self.worker_handles()):
            super().set_worker_number(cluster, container, hardware, 0)
        super().set_worker_number(cluster, container, hardware, worker_number)


class KillsTooMany(MemoryProvider):
    """Ends one container more than it is told."""

    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        others = [handle for handle in self.worker_handles() if handle not in handles]
        self.kill(others[:1])
        return super().kill_worker_containers(cluster, handles)


class KillsTooFew(MemoryProvider):
    """Leaves the last container that it is to end, unless it is to end all."""

    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        if len(handles) == len(set(self.worker_handles())):
            return super().kill_worker_containers(cluster, handles)
        super().kill_worker_containers(cluster, handles[:-1])
        return [*[True] * (len(handles) - 1), False]


class EndsTheServerWithTheWorkers(MemoryProvider):
    """Takes a cluster without workers for one that is no longer needed."""

    def set_worker_number(
        self, cluster: Any, container: Any, hardware: Any, worker_number: int
    ) -> None:
        super().set_worker_number(cluster, container, hardware, worker_number)
        if worker_number == 0:
            self.stop_server(cluster)


class CannotGrowFromZero(MemoryProvider):
    """Removes the workers' network with the last of them, and makes it only once."""

    network = True

    def set_worker_number(
        self, cluster: Any, container: Any, hardware: Any, worker_number: int
    ) -> None:
        super().set_worker_number(cluster, container, hardware, worker_number)
        self.network = worker_number > 0

    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        if not self.network:
            raise ProviderError("there is no network for the workers")
        return super().run_worker_containers(cluster, container, hardware, worker_number)


class PacksWithoutLimit(MemoryProvider):
    """Puts all workers into one container, once they may share one at all."""

    def packing(self, container: DockerContainer, worker_number: int) -> list[int]:
        if container.max_worker_num == 1:
            return [1] * worker_number
        return [worker_number]


class PacksWithoutConfiguring(MemoryProvider):
    """Counts several workers in a container that is configured for one."""

    def packed(
        self, cluster: DockerCluster, container: DockerContainer, workers: int
    ) -> DockerContainer:
        return container


class NeverShares(MemoryProvider):
    """Gives each worker a container, and claims that they share."""

    def packing(self, container: DockerContainer, worker_number: int) -> list[int]:
        return [1] * worker_number


MUTANTS = (
    Mutant("P-13", GrowsByReplacing),
    Mutant("P-14", ShrinksByReplacing),
    Mutant("P-14", KillsTooMany, timeout=2.0),
    Mutant("P-14", KillsTooFew, timeout=2.0),
    Mutant("P-15", EndsTheServerWithTheWorkers),
    Mutant("P-16", CannotGrowFromZero),
    Mutant("P-17", PacksWithoutLimit),
    Mutant("P-18", PacksWithoutConfiguring, timeout=2.0),
    Mutant("P-19", NeverShares),
)
