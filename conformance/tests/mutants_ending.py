"""Mutants of the promises P-31 to P-38: dead servers, stopping, failed starts, clean-up."""

from __future__ import annotations

from typing import Any

from memory_provider import SHARED, MemoryProvider
from mutation import Mutant

from dockerparallel import DockerCluster, DockerContainer, DockerHardware, ProviderError, Status


class BelievesInItsServer(MemoryProvider):
    """Remembers that the server runs."""

    seen_running = False

    def server_status(self, cluster: DockerCluster) -> Status:
        if self.server_id is None:
            self.seen_running = False
        elif not self.seen_running:
            self.seen_running = super().server_status(cluster) is Status.RUNNING
        return Status.RUNNING if self.seen_running else super().server_status(cluster)


class TellsThePassword(MemoryProvider):
    """Tells how the server was configured, to explain its end."""

    def server_stop_reason(self, cluster: DockerCluster) -> str:
        return f"{super().server_stop_reason(cluster)} {cluster.static_data()}"


class AsksForTheAddress(MemoryProvider):
    """Asks for the address of the server, whatever it is to do with workers."""

    def set_worker_number(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> None:
        cluster.server_address_for_workers()
        super().set_worker_number(cluster, container, hardware, worker_number)


class NeedsTheServerToKill(MemoryProvider):
    """Asks the server which workers there are, and ends none without it."""

    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        if self.server_id is None or self.server_status(cluster) is Status.STOPPED:
            return [False for _ in handles]
        return super().kill_worker_containers(cluster, handles)


class LeavesStoredData(MemoryProvider):
    """Forgets to remove what it has stored, with the password in it."""

    def remove_stored(self, cluster: DockerCluster) -> None:
        pass


class LeavesTheServer(MemoryProvider):
    """Forgets the server instead of ending it."""

    def stop_server(self, cluster: DockerCluster) -> None:
        self.server_id = None

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        return any(
            info.role == "worker" and info.status is not Status.STOPPED
            for info in self.listed(cluster)
        ) or super().cluster_exists(cluster)


class CannotStopTwice(MemoryProvider):
    """Passes on that the platform does not find the server that it is to stop."""

    def stop_server(self, cluster: DockerCluster) -> None:
        if self.server_id is None and cluster.state.stopped:
            raise ProviderError("not found: the server")
        super().stop_server(cluster)


class CannotCleanUpTwice(MemoryProvider):
    """Passes on that the platform does not find what it is to remove."""

    def remove_stored(self, cluster: DockerCluster) -> None:
        if self.cloud.get(self.cluster_name(cluster)) is None:
            raise ProviderError("not found: the stored data")
        super().remove_stored(cluster)


class CleansUpWhatInitializeMade(MemoryProvider):
    """Makes in ``initialize`` what ``cleanup`` removes."""

    ready = False

    def initialize(self, cluster: DockerCluster) -> None:
        self.ready = True

    def cleanup(self, cluster: DockerCluster, deep: bool = False) -> None:
        super().cleanup(cluster, deep=deep)
        self.ready = False

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        if not self.ready:
            raise ProviderError("the network that initialize() made is gone")
        super().run_server(cluster, container, hardware)


class NotesTheServerLate(MemoryProvider):
    """Notes what is to be stopped once the start is complete."""

    complete = False

    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        self.complete = True
        return super().run_worker_containers(cluster, container, hardware, worker_number)

    def stop_server(self, cluster: DockerCluster) -> None:
        if self.complete or self.server_id is None or self.seen_dead(cluster):
            super().stop_server(cluster)

    def seen_dead(self, cluster: DockerCluster) -> bool:
        """Tell whether the server has died by itself."""
        return self.server_status(cluster) is Status.STOPPED


class KillsOnlyWhatHasRun(MemoryProvider):
    """Takes a worker that it has not seen run for none, as it sees them late."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: set[str] = set()
        self.seen_running: set[str] = set()

    def worker_status(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        found = super().worker_status(cluster, handles)
        for place, handle in enumerate(handles):
            if found[place] is Status.RUNNING and handle not in self.seen:
                found[place] = Status.INITIALIZING
            elif found[place] is Status.RUNNING:
                self.seen_running.add(handle)
            self.seen.add(handle)
        return found

    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        super().kill_worker_containers(cluster, [h for h in handles if h in self.seen_running])
        return [True for _ in handles]


class LosesTheHalfStarted(MemoryProvider):
    """Forgets the workers that it had started before an error."""

    def note_half_started(self, handles: list[str]) -> None:
        pass


class IgnoresDeep(MemoryProvider):
    """Never removes what clusters share."""

    def cleanup(self, cluster: DockerCluster, deep: bool = False) -> None:
        super().cleanup(cluster, deep=False)


class CannotCleanUpDeeplyTwice(MemoryProvider):
    """Stumbles over a network that is gone."""

    def remove_shared(self) -> None:
        if SHARED not in self.cloud.shared():
            raise ProviderError(f"not found: {SHARED}")
        super().remove_shared()


class MakesTheNetworkOnce(MemoryProvider):
    """Makes what clusters share when it is made itself, and not where it is gone."""

    made: list[Any] | None = None

    def prepare(self, cluster: DockerCluster) -> None:
        if self.made is not None and SHARED not in self.cloud.shared():
            raise ProviderError(f"not found: {SHARED}")
        super().prepare(cluster)
        self.made = []


MUTANTS = (
    Mutant("P-31", BelievesInItsServer, timeout=2.0),
    Mutant("P-31", TellsThePassword),
    Mutant("P-32", AsksForTheAddress),
    Mutant("P-32", NeedsTheServerToKill, timeout=2.0),
    Mutant("P-33", LeavesStoredData, timeout=2.0),
    Mutant("P-33", LeavesTheServer, timeout=2.0),
    Mutant("P-34", CannotStopTwice),
    Mutant("P-34", CannotCleanUpTwice),
    Mutant("P-35", CleansUpWhatInitializeMade),
    Mutant("P-36", NotesTheServerLate, timeout=2.0),
    Mutant("P-36", KillsOnlyWhatHasRun, timeout=2.0),
    Mutant("P-37", LosesTheHalfStarted, timeout=2.0),
    Mutant("P-38", IgnoresDeep, timeout=2.0),
    Mutant("P-38", CannotCleanUpDeeplyTwice),
    Mutant("P-38", MakesTheNetworkOnce),
)
