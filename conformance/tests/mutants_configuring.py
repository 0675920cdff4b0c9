"""Mutants of the promises C-1 to C-10: how a container is configured."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, Self

from memory_container import MemoryServerContainer, MemoryWorkerContainer
from memory_tasks import PASSWORD, PORT, SERVER_HOST, WORKERS
from mutation import Mutant

from dockerparallel import DockerCluster, DockerContainer


class ShowsItsSecrets(MemoryWorkerContainer):
    """Has the repr that a dataclass writes by itself."""

    def __repr__(self) -> str:
        return f"ShowsItsSecrets({dataclasses.asdict(self)})"


class CopiesShallowly(MemoryWorkerContainer):
    """Shares its environment with its copies."""

    def copy(self) -> Self:
        return copy.copy(self)


class MakesWorkersForServers(MemoryWorkerContainer):
    """Takes itself for its server container."""

    def server_container(self) -> DockerContainer:
        return MemoryWorkerContainer()


_ONE_SERVER = MemoryServerContainer()


class MakesOneServerForAll(MemoryWorkerContainer):
    """Gives every cluster the same object."""

    def server_container(self) -> DockerContainer:
        return _ONE_SERVER


class _ServerOnItsOwnPort(MemoryServerContainer):
    def server_environment(self, cluster: DockerCluster) -> dict[str, str]:
        return {**super().server_environment(cluster), PORT: "18888"}


class IgnoresThePort(MemoryWorkerContainer):
    """Has a server that always listens on its own port."""

    def server_container(self) -> DockerContainer:
        return _ServerOnItsOwnPort()


class _ServerWithoutPassword(MemoryServerContainer):
    def server_secrets(self, cluster: DockerCluster) -> dict[str, str]:
        return {}


class ForgetsThePassword(MemoryWorkerContainer):
    """Has a server that is told no password."""

    def server_container(self) -> DockerContainer:
        return _ServerWithoutPassword()


class _ServerThatShowsIt(MemoryServerContainer):
    def server_environment(self, cluster: DockerCluster) -> dict[str, str]:
        return super().server_environment(cluster) | self.server_secrets(cluster)


class ShowsThePasswordOfTheServer(MemoryWorkerContainer):
    """Has a server that finds its password in the environment, too."""

    def server_container(self) -> DockerContainer:
        return _ServerThatShowsIt()


class ForgetsTheWorkersPassword(MemoryWorkerContainer):
    """Tells the workers no password."""

    def worker_secrets(self, cluster: DockerCluster) -> dict[str, str]:
        return {}


class AlwaysUsesThePrivateAddress(MemoryWorkerContainer):
    """Sends workers to the private address, wherever they run."""

    def worker_environment(self, cluster: DockerCluster, worker_number: int) -> dict[str, str]:
        private = str(cluster.runtime.server_private_ip)
        return {**super().worker_environment(cluster, worker_number), SERVER_HOST: private}


class ShowsTheWorkersPassword(MemoryWorkerContainer):
    """Puts the password into the environment of the workers."""

    def worker_environment(self, cluster: DockerCluster, worker_number: int) -> dict[str, str]:
        known = super().worker_environment(cluster, worker_number)
        return {**known, PASSWORD: cluster.config.server_password}


class IgnoresTheWorkerNumber(MemoryWorkerContainer):
    """Runs one worker in each container."""

    def worker_environment(self, cluster: DockerCluster, worker_number: int) -> dict[str, str]:
        return {**super().worker_environment(cluster, worker_number), WORKERS: "1"}


class ConfiguresItself(MemoryWorkerContainer):
    """Writes into the object that it was asked to configure."""

    def to_configure(self) -> Self:
        return self


class ChangesItselfBesides(MemoryWorkerContainer):
    """Returns a copy, and notes the server in its own environment, too."""

    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        configured = super().configure_worker_env(cluster, worker_number)
        self.environment[SERVER_HOST] = configured.environment[SERVER_HOST]
        return configured


class OverwritesTheUsersEnvironment(MemoryWorkerContainer):
    """Replaces the environment by what it needs itself."""

    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        configured = super().configure_worker_env(cluster, worker_number)
        configured.environment = self.worker_environment(cluster, worker_number)
        return configured


class OverwritesTheUsersSecrets(MemoryWorkerContainer):
    """Replaces the secrets by what it needs itself."""

    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        configured = super().configure_worker_env(cluster, worker_number)
        configured.secrets = self.worker_secrets(cluster)
        return configured


class Accumulates(MemoryWorkerContainer):
    """Appends to what an earlier configuration has left."""

    def worker_environment(self, cluster: DockerCluster, worker_number: int) -> dict[str, str]:
        numbers = f"{self.environment.get('MEMORY_NUMBERS', '')}{worker_number},"
        return {**super().worker_environment(cluster, worker_number), "MEMORY_NUMBERS": numbers}


class ConfiguresOnce(MemoryWorkerContainer):
    """Leaves alone what was configured before."""

    def worker_environment(self, cluster: DockerCluster, worker_number: int) -> dict[str, str]:
        known: dict[str, Any] = super().worker_environment(cluster, worker_number)
        return {name: self.environment.get(name, value) for name, value in known.items()}


MUTANTS = (
    Mutant("C-1", container=ShowsItsSecrets),
    Mutant("C-2", container=CopiesShallowly),
    Mutant("C-3", container=MakesWorkersForServers),
    Mutant("C-3", container=MakesOneServerForAll),
    Mutant("C-4", container=IgnoresThePort),
    Mutant("C-5", container=ForgetsThePassword),
    Mutant("C-5", container=ShowsThePasswordOfTheServer),
    Mutant("C-6", container=ForgetsTheWorkersPassword),
    Mutant("C-6", container=AlwaysUsesThePrivateAddress),
    Mutant("C-6", container=ShowsTheWorkersPassword),
    Mutant("C-7", container=IgnoresTheWorkerNumber),
    Mutant("C-8", container=ConfiguresItself),
    Mutant("C-8", container=ChangesItselfBesides),
    Mutant("C-9", container=OverwritesTheUsersEnvironment),
    Mutant("C-9", container=OverwritesTheUsersSecrets),
    Mutant("C-10", container=Accumulates),
    Mutant("C-10", container=ConfiguresOnce),
)
