"""What the engine tells of containers and networks, and what it is told of a container to make."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dockerparallel import Status
from dockerparallel_local_docker_provider import labels

_ALIVE = frozenset({"running", "paused", "restarting"})
# A container is started right after it was made; one that waits longer was forgotten half-way.
_START_SECONDS = 120.0


class EngineSize(NamedTuple):
    """The machine of an engine: its cores, and its memory in MiB."""

    cores: int
    memory_mib: int


class NetworkRecord(NamedTuple):
    """A network, as the engine lists it."""

    id: str
    name: str
    labels: dict[str, str]


class Ending(NamedTuple):
    """How a container has ended.

    Parameters
    ----------
    exit_code
        Of its process 1; 128 and more for a signal.
    out_of_memory
        Whether the kernel killed something in it because of its memory limit.
    error
        What the engine says, where the program could not be started at all.
    memory_mib
        Its memory limit in MiB, 0 for none.
    """

    exit_code: int
    out_of_memory: bool
    error: str
    memory_mib: int

    def __str__(self) -> str:
        """Say it in words."""
        if self.error:
            return f"could not run ({self.error})"
        if self.out_of_memory:
            return (
                f"ended with exit code {self.exit_code} after it went over its memory limit of "
                f"{self.memory_mib} MiB (give its workers more: worker_memory=)"
            )
        return f"ended with exit code {self.exit_code}"


@dataclass(frozen=True)
class ContainerRecord:
    """A container, as the engine lists it."""

    id: str
    name: str
    state: str
    created: int
    labels: Mapping[str, str]
    addresses: Mapping[str, str]
    """Its address in each network that it is attached to."""
    ports: Mapping[int, int]
    """The ports that it listens on, and those of the host where they are published."""

    @classmethod
    def from_listing(cls, item: Mapping[str, Any]) -> ContainerRecord:
        """Make a record of one item of the engine's list of containers."""
        networks = (item.get("NetworkSettings") or {}).get("Networks") or {}
        return cls(
            id=str(item["Id"]),
            name=str((item.get("Names") or ["/"])[0]).removeprefix("/"),
            state=str(item["State"]),
            created=int(item["Created"]),
            labels=dict(item.get("Labels") or {}),
            addresses={
                name: str(network["IPAddress"])
                for name, network in networks.items()
                if network.get("IPAddress")
            },
            ports={
                int(port["PrivatePort"]): int(port["PublicPort"])
                for port in item.get("Ports") or []
                if port.get("PublicPort")
            },
        )

    @property
    def cluster(self) -> str:
        """``job_queue_name`` of its cluster."""
        return self.labels.get(labels.CLUSTER, "")

    @property
    def cluster_id(self) -> str:
        """Which cluster of that name it belongs to."""
        return self.labels.get(labels.CLUSTER_ID, "")

    @property
    def role(self) -> str:
        """What it is for, a :class:`~dockerparallel_local_docker_provider.labels.Role`."""
        return self.labels.get(labels.ROLE, "")

    @property
    def handle(self) -> str:
        """Its name inside its cluster."""
        return self.labels.get(labels.HANDLE, self.name)

    @property
    def started(self) -> int:
        """When it was asked for, in nanoseconds; or made, where nothing says so."""
        text = self.labels.get(labels.STARTED, "")
        return int(text) if text.isdecimal() else self.created * 1_000_000_000

    @property
    def workers(self) -> int:
        """How many workers it runs."""
        text = self.labels.get(labels.WORKERS, "0")
        return int(text) if text.isdecimal() else 0

    @property
    def status(self) -> Status:
        """Its status, as the contract of providers has it; one that is paused still runs."""
        if self.state in _ALIVE:
            return Status.RUNNING
        if self.state == "created" and time.time() - self.created < _START_SECONDS:
            return Status.INITIALIZING
        return Status.STOPPED

    @property
    def lives(self) -> bool:
        """Whether it runs, or is about to; a store never does."""
        return self.role != labels.Role.STORE and self.status is not Status.STOPPED


@dataclass(frozen=True)
class ContainerSpec:
    """What the engine is told of a container to make.

    Parameters
    ----------
    name
        Its name in the engine.
    image
        What it runs.
    command
        The program and its arguments, or ``None`` for the image's own.
    hostname
        What the programs in it take for the name of their machine.
    network
        Name of the network that it is attached to.
    environment, labels
        Shown to everybody who may use the engine: no secret is in there.
    nano_cpus
        Its share of the cores, in billionths of one.
    memory_mib
        Its memory limit in MiB.
    ports
        Ports to publish on loopback, and the port of the host, ``None`` for one that is free.
    """

    name: str
    image: str
    command: list[str] | None
    hostname: str
    network: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    nano_cpus: int
    memory_mib: int
    ports: Mapping[int, int | None] = field(default_factory=dict)
