"""Mutants of the promises P-25 to P-30: other handles, other clusters, other people's eyes."""

from __future__ import annotations

from typing import Any

from memory_provider import MemoryProvider
from mutation import Mutant

from dockerparallel import DockerCluster, DockerContainer, Status, WorkerNumbers, exported


class FindsOnlyItsOwn(MemoryProvider):
    """Looks for a cluster among those that this session has started."""

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        return self.server_id is not None and super().cluster_exists(cluster)


class FindsByPrefix(MemoryProvider):
    """Takes a cluster whose name begins with ours for ours."""

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        name = self.cluster_name(cluster)
        found = self.cloud.containers()
        return any(
            info.cluster_name.startswith(name) and info.status is not Status.STOPPED
            for info in found
        )


class IgnoresCase(MemoryProvider):
    """Takes names for equal that differ in case."""

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        name = self.cluster_name(cluster).lower()
        return any(info.cluster_name.lower() == name for info in self.cloud.containers())


class CountsNeighbours(MemoryProvider):
    """Counts the workers of each cluster whose name begins with that of ours."""

    def worker_numbers(self, cluster: DockerCluster) -> WorkerNumbers:
        if self.server_id is None:
            return super().worker_numbers(cluster)
        name = self.cluster_name(cluster)
        statuses = [
            info.status
            for info in self.cloud.containers(role="worker")
            if info.cluster_name.startswith(name)
        ]
        if len(set(statuses)) == 1 and len(self.worker_handles()) < len(statuses):
            return WorkerNumbers(0, len(statuses))
        return super().worker_numbers(cluster)


class StopsNeighbours(MemoryProvider):
    """Ends each server whose cluster's name begins with ours."""

    def stop_server(self, cluster: DockerCluster) -> None:
        had_server = self.server_id is not None
        super().stop_server(cluster)
        name = self.cluster_name(cluster)
        if had_server:
            servers = self.cloud.containers(role="server")
            self.kill([info.id for info in servers if info.cluster_name.startswith(name)])


class ForgetsNeighbours(MemoryProvider):
    """Knows clusters by what is stored, and removes what has a name that begins with ours."""

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        return self.cloud.get(self.cluster_name(cluster)) is not None

    def cleanup(self, cluster: DockerCluster, deep: bool = False) -> None:
        name = self.cluster_name(cluster)
        for other in self.cloud.cluster_names():
            if other.startswith(name):
                self.cloud.delete(other)
        super().cleanup(cluster, deep=deep)


class ShowsThePassword(MemoryProvider):
    """Writes the password into its repr."""

    password = ""

    def prepare(self, cluster: DockerCluster) -> None:
        super().prepare(cluster)
        self.password = cluster.config.server_password

    def __repr__(self) -> str:
        return f"ShowsThePassword(cloud={self.cloud!r}, password={self.password!r})"


class NamesWorkersBySecrets(MemoryProvider):
    """Labels its workers with what they were configured with."""

    def worker_names(self, cluster: DockerCluster) -> list[str]:
        secrets: dict[str, Any] = cluster.state.worker_container.secrets
        return [f"{name} {secrets}" for name in super().worker_names(cluster)]


class LogsSecrets(MemoryProvider):
    """Logs in every detail what it starts."""

    def run_container(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        role: str,
        handle: str,
        workers: int,
    ) -> None:
        cluster.logger.debug("Running %s with %s", handle, container.full_environment())
        super().run_container(cluster, container, role, handle, workers)


class DescribesWithPassword(MemoryProvider):
    """Exports what it has stored."""

    @exported
    def describe(self, cluster: DockerCluster, indent: int = 0) -> dict[str, object]:
        return self.stored_data(cluster)


class FindsTheServerAlone(MemoryProvider):
    """Looks for a cluster's server, and takes workers without one for nothing."""

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        found = self.cloud.containers(self.cluster_name(cluster), "server")
        return any(info.status is not Status.STOPPED for info in found)


class CountsNoneWithoutServer(MemoryProvider):
    """Says that there are no workers where there is no server."""

    def worker_numbers(self, cluster: DockerCluster) -> WorkerNumbers:
        if not cluster.runtime.has_server:
            return WorkerNumbers(0, 0)
        return super().worker_numbers(cluster)


MUTANTS = (
    Mutant("P-25", FindsOnlyItsOwn),
    Mutant("P-26", FindsByPrefix),
    Mutant("P-26", IgnoresCase),
    Mutant("P-27", CountsNeighbours, timeout=3.0),
    Mutant("P-28", StopsNeighbours, timeout=3.0),
    Mutant("P-28", ForgetsNeighbours),
    Mutant("P-29", ShowsThePassword),
    Mutant("P-29", NamesWorkersBySecrets),
    Mutant("P-29", LogsSecrets),
    Mutant("P-29", DescribesWithPassword),
    Mutant("P-30", FindsTheServerAlone),
    Mutant("P-30", CountsNoneWithoutServer),
)
