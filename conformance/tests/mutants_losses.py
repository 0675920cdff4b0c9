"""Mutants of the promises P-20 to P-24: dead workers, and what is told of handles."""

from __future__ import annotations

from memory_provider import MemoryProvider
from mutation import Mutant

from dockerparallel import DockerCluster, ProviderError, Status


class BelievesTheDead(MemoryProvider):
    """Reports what it has started as running, dead or not."""

    def worker_status(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        known = set(self.worker_handles())
        found = zip(handles, super().worker_status(cluster, handles), strict=True)
        return [Status.RUNNING if handle in known else status for handle, status in found]


class NeverReplaces(MemoryProvider):
    """Keeps the handles of dead workers when it adds what is missing."""

    def is_worker_stopped(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        return [False for _ in handles]


class CannotKillTheUnknown(MemoryProvider):
    """Passes on that the platform does not find a container."""

    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        unknown = sorted(set(handles) - set(self.worker_handles()))
        if unknown:
            raise ProviderError(f"not found: {unknown}")
        return super().kill_worker_containers(cluster, handles)


class CannotKillTheDead(MemoryProvider):
    """Says of what is dead already that it could not be killed."""

    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        before = self.status(handles)
        super().kill_worker_containers(cluster, handles)
        return [status is not Status.STOPPED for status in before]


class TakesNoneForAll(MemoryProvider):
    """Filters by an empty list, which means everything."""

    def worker_status(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        return super().worker_status(cluster, handles or self.worker_handles())


class WaitsForTheUnknown(MemoryProvider):
    """Takes a handle that the platform does not know for one that still comes up."""

    def worker_status(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        known = {info.id for info in self.listed(cluster)}
        found = zip(handles, super().worker_status(cluster, handles), strict=True)
        return [status if handle in known else Status.INITIALIZING for handle, status in found]


class AnswersInItsOwnOrder(MemoryProvider):
    """Gives the status of what it knows first."""

    def worker_status(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        known = set(self.worker_handles())
        ordered = sorted(handles, key=lambda handle: handle not in known)
        return super().worker_status(cluster, ordered)


MUTANTS = (
    Mutant("P-20", BelievesTheDead, timeout=2.0),
    Mutant("P-21", NeverReplaces, timeout=2.0),
    Mutant("P-22", CannotKillTheUnknown),
    Mutant("P-22", CannotKillTheDead),
    Mutant("P-23", TakesNoneForAll),
    Mutant("P-23", WaitsForTheUnknown),
    Mutant("P-24", AnswersInItsOwnOrder),
)
