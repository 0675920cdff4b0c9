"""Small value types that providers hand to the cluster."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """Life of a server or worker as its provider sees it."""

    INITIALIZING = "initializing"
    """Asked for and on its way: queued, pulling its image, booting."""

    RUNNING = "running"
    """Up. It may take work now."""

    STOPPED = "stopped"
    """Ended, failed, or unknown to the provider: it will not come back by itself."""


class ServerAddress(NamedTuple):
    """Where the server of a cluster answers; each part may be ``None``.

    The public address is the one that reaches the server from outside the provider's network, the
    private address the one that reaches it from inside. Ports are TCP ports, 1 to 65535.
    """

    public_ip: str | None = None
    public_port: int | None = None
    private_ip: str | None = None
    private_port: int | None = None


class Endpoint(NamedTuple):
    """The one address that a certain party uses to reach the server."""

    host: str
    port: int


class WorkerNumbers(NamedTuple):
    """How many workers are in which state.

    Providers return it without ``expected``, which ``DockerCluster.worker_numbers`` adds.
    """

    initializing: int
    running: int
    expected: int | None = None
