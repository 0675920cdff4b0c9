"""What is known of the server and workers that run (``CloudRuntime`` of the specification)."""

from __future__ import annotations

from dataclasses import dataclass, field

from dockerparallel.status import ServerAddress, WorkerNumbers


@dataclass
class CloudRuntime:
    """Last known facts of a cluster; the cluster keeps them, extensions read them.

    Parameters
    ----------
    server_from_other_source
        Whether the server is external: the cluster neither starts nor stops it.
    server_public_ip, server_public_port, server_private_ip, server_private_port
        Where the server answers; ``None`` where unknown.
    initializing_worker_number, running_worker_number
        Workers at the last look.
    """

    server_from_other_source: bool = False
    server_public_ip: str | None = None
    server_public_port: int | None = None
    server_private_ip: str | None = None
    server_private_port: int | None = None
    initializing_worker_number: int = 0
    running_worker_number: int = 0
    _server_recorded: bool = field(default=False, init=False, repr=False)

    @property
    def has_server(self) -> bool:
        """Whether a server is believed to run: ours, recorded and not forgotten, or external."""
        return (
            self.server_from_other_source
            or self._server_recorded
            or any(part is not None for part in self.server_address)
        )

    @property
    def server_address(self) -> ServerAddress:
        """The four parts of the server's address together."""
        return ServerAddress(
            self.server_public_ip,
            self.server_public_port,
            self.server_private_ip,
            self.server_private_port,
        )

    def record_server(self, address: ServerAddress) -> None:
        """Remember that a server was started or found at ``address``."""
        (
            self.server_public_ip,
            self.server_public_port,
            self.server_private_ip,
            self.server_private_port,
        ) = address
        self._server_recorded = True

    def forget_server(self) -> None:
        """Forget the server of ours: it was stopped or has died."""
        self.record_server(ServerAddress())
        self._server_recorded = False

    def record_workers(self, numbers: WorkerNumbers) -> None:
        """Remember how many workers there are."""
        self.initializing_worker_number = numbers.initializing
        self.running_worker_number = numbers.running
