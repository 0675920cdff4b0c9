"""Mutants of the promises P-1 to P-5: the handle, the provider's copy, and the server."""

from __future__ import annotations

from typing import Any, Self

from memory_provider import HOST, MemoryProvider
from mutation import Mutant

from dockerparallel import DockerCluster, ServerAddress, Status


class MakesThingsAtInitialize(MemoryProvider):
    """Stores the cluster's data as soon as somebody asks whether it exists."""

    def initialize(self, cluster: DockerCluster) -> None:
        self.prepare(cluster)


class CopiesToItself(MemoryProvider):
    """Serves all clusters by one object."""

    def copy(self) -> Self:
        return self


class SharesALog(MemoryProvider):
    """Gives its copies the list that it writes to."""

    def __init__(self, cloud: Any) -> None:
        super().__init__(cloud)
        self.log: list[str] = []

    def copy(self) -> Self:
        duplicate = super().copy()
        duplicate.log = self.log
        return duplicate


class NeverRuns(MemoryProvider):
    """Does not know the platform's word for a server that is up."""

    def server_status(self, cluster: DockerCluster) -> Status:
        return Status.INITIALIZING


class TellsAWrongPort(MemoryProvider):
    """Tells the port inside the container, which nobody reaches from outside."""

    def server_address(self, cluster: DockerCluster) -> ServerAddress:
        return ServerAddress(HOST, 1, HOST, 1)


class ForgetsItsServer(MemoryProvider):
    """Takes its server for stopped each second time."""

    asked = 0

    def server_status(self, cluster: DockerCluster) -> Status:
        self.asked += 1
        return Status.STOPPED if self.asked % 2 == 0 else super().server_status(cluster)


MUTANTS = (
    Mutant("P-1", MakesThingsAtInitialize),
    Mutant("P-2", CopiesToItself),
    Mutant("P-2", SharesALog),
    Mutant("P-3", NeverRuns, timeout=1.0),
    Mutant("P-4", TellsAWrongPort, timeout=1.0),
    Mutant("P-5", ForgetsItsServer),
)
