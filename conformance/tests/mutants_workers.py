"""Mutants of the promises P-6 to P-12: the workers, and what reaches them."""

from __future__ import annotations

from typing import Any

from memory_cloud import new_id
from memory_provider import MemoryProvider
from memory_tasks import PASSWORD
from mutation import Mutant

from dockerparallel import (
    DockerCluster,
    DockerContainer,
    DockerHardware,
    Status,
    WorkerNumbers,
    exported,
)


class ForgetsAWorker(MemoryProvider):
    """Starts one worker less than it is asked for."""

    def set_worker_number(
        self, cluster: Any, container: Any, hardware: Any, worker_number: int
    ) -> None:
        super().set_worker_number(cluster, container, hardware, max(worker_number - 1, 0))


class StartsOneTooMany(MemoryProvider):
    """Starts one worker more than it is asked for."""

    def set_worker_number(
        self, cluster: Any, container: Any, hardware: Any, worker_number: int
    ) -> None:
        more = worker_number + (worker_number > 0)
        super().set_worker_number(cluster, container, hardware, more)


class CountsTwice(MemoryProvider):
    """Counts a worker that runs as one that initializes, too."""

    def worker_numbers(self, cluster: DockerCluster) -> WorkerNumbers:
        _, running, _ = super().worker_numbers(cluster)
        return WorkerNumbers(running, running)


class CountsWhatNeverStarted(MemoryProvider):
    """Believes that each container starts that it asks for."""

    def run_container(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        role: str,
        handle: str,
        workers: int,
    ) -> None:
        if role == "server" or not self.worker_handles():
            super().run_container(cluster, container, role, handle, workers)
        self.add_worker_handles([] if role == "server" else [handle])

    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        handles = super().run_worker_containers(cluster, container, hardware, worker_number)
        self.remove_worker_handles(handles)
        return handles

    def remove_worker_handles(self, handles: Any) -> None:
        # Not on the platform, where the container goes on.
        for handle in handles:
            self._counts().pop(handle, None)

    def status(self, handles: list[str]) -> list[Status]:
        return [Status.RUNNING for _ in handles]


class HidesAWorker(MemoryProvider):
    """Starts a worker that it does not count."""

    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        self.run_container(cluster, container, "worker", new_id("worker"), 1)
        return super().run_worker_containers(cluster, container, hardware, worker_number)


class RestartsAll(MemoryProvider):
    """Replaces all workers whenever it is asked for their number."""

    def set_worker_number(
        self, cluster: Any, container: Any, hardware: Any, worker_number: int
    ) -> None:
        super().set_worker_number(cluster, container, hardware, 0)
        super().set_worker_number(cluster, container, hardware, worker_number)


class OverwritesTheEnvironment(MemoryProvider):
    """Passes only the variables that it knows."""

    def environment(self, container: DockerContainer) -> dict[str, str]:
        known = super().environment(container)
        return {name: value for name, value in known.items() if not name.startswith("CONFORMANCE")}


class StripsQuotes(MemoryProvider):
    """Builds a shell command of the environment, without quoting."""

    def environment(self, container: DockerContainer) -> dict[str, str]:
        known = super().environment(container)
        return {name: value.replace("'", "").replace('"', "") for name, value in known.items()}


class LosesSecrets(MemoryProvider):
    """Hands over the password and no other secret."""

    def secrets(self, container: DockerContainer) -> dict[str, str]:
        return {PASSWORD: container.secrets[PASSWORD]}


class EndsSecretsWithALine(MemoryProvider):
    """Writes a line break behind each secret of the user's."""

    def secrets(self, container: DockerContainer) -> dict[str, str]:
        secrets = container.secrets
        return {
            name: secret if name == PASSWORD else f"{secret}\n" for name, secret in secrets.items()
        }


class ShowsSecretsInTheEnvironment(MemoryProvider):
    """Hands secrets over as variables, which every tool lists."""

    def environment(self, container: DockerContainer) -> dict[str, str]:
        return {**super().environment(container), **container.secrets}


class TellsThatItShowsSecrets(MemoryProvider):
    """Says itself that the platform shows the variables and the secrets of the workers."""

    @exported
    def shown_environment(self, cluster: DockerCluster) -> list[str]:
        """Return what the platform shows."""
        worker = cluster.state.worker_container
        return [f"{name}={text}" for name, text in worker.full_environment().items()]


class TellsOfNoEnvironment(MemoryProvider):
    """Says that the platform shows nothing, although workers have variables."""

    @exported
    def shown_environment(self) -> list[str]:
        """Return what the platform shows."""
        return []


class ChangesTheClustersContainer(MemoryProvider):
    """Writes the platform's name for a container into the object of the cluster."""

    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        cluster.state.worker_container.environment["PLATFORM"] = "memory"
        return super().run_worker_containers(cluster, container, hardware, worker_number)


MUTANTS = (
    Mutant("P-6", ForgetsAWorker, timeout=1.0),
    Mutant("P-6", StartsOneTooMany, timeout=1.0),
    Mutant("P-6", CountsTwice, timeout=1.0),
    Mutant("P-7", CountsWhatNeverStarted, timeout=2.0),
    Mutant("P-7", HidesAWorker),
    Mutant("P-8", RestartsAll),
    Mutant("P-9", OverwritesTheEnvironment),
    Mutant("P-9", StripsQuotes),
    Mutant("P-10", LosesSecrets),
    Mutant("P-10", EndsSecretsWithALine),
    Mutant("P-11", ShowsSecretsInTheEnvironment),
    Mutant("P-11", TellsThatItShowsSecrets),
    Mutant("P-11", TellsOfNoEnvironment),
    Mutant("P-12", ChangesTheClustersContainer),
)
