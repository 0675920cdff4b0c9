"""Where the server is published, as this session reaches it, and whether it answers there."""

from __future__ import annotations

from dockerparallel import ServerAddress
from dockerparallel_local_docker_provider.connection import EngineConnection
from dockerparallel_local_docker_provider.readiness import listens
from dockerparallel_local_docker_provider.records import ContainerRecord
from dockerparallel_local_docker_provider.ssh import LOOPBACK, SshForward, forwarded_port


class PublishedServer:
    """The server of one cluster, seen from this session. Copied and pickled without its forward.

    Parameters
    ----------
    connection
        To the engine on which it runs.
    """

    def __init__(self, connection: EngineConnection) -> None:
        self._connection = connection
        self._answered = ""
        self._forward: SshForward | None = None

    def address(self, server: ContainerRecord, network: str, port: int) -> ServerAddress:
        """Return its addresses; on an ssh host the public one is the local end of a forward.

        Raises
        ------
        ForwardError
            The port cannot be forwarded.
        """
        private = server.addresses.get(network)
        published = server.ports.get(port)
        if published is None:
            # It has ended already; its status tells.
            return ServerAddress(None, None, private, port)
        return ServerAddress(LOOPBACK, self._reachable(published), private, port)

    def answers(self, server: ContainerRecord, network: str, port: int) -> bool:
        """Tell whether it has ever accepted a connection; asks until it has.

        Renews a forward that ssh has lost, also after that.
        """
        if self._answered == server.id and self._forward is not None and port in server.ports:
            self._reachable(server.ports[port])
        if self._answered != server.id and port in server.ports:
            inside = server.addresses.get(network)
            is_local = self._connection.engine.address.is_local
            private = (inside, port) if inside is not None and is_local else None
            if listens(private, (LOOPBACK, self._reachable(server.ports[port]))):
                self._answered = server.id
        return self._answered == server.id

    def close(self) -> None:
        """Have no server any more. Idempotent."""
        self._answered = ""
        if self._forward is not None:
            self._forward.close()
            self._forward = None

    def _reachable(self, port: int) -> int:
        """Return the port of this machine for a port of the engine's machine."""
        address = self._connection.engine.address
        if not address.is_ssh:
            return port
        forward = self._forward
        if forward is None or forward.remote != port or not forward.lives:
            local = None
            if forward is not None:
                forward.close()
                # Whoever talks to the server knows the old port.
                if forward.remote == port and forward.is_ours:
                    local = int(str(forward.local))
            timeout = self._connection.options.timeout
            self._forward = forward = forwarded_port(address, port, timeout, local)
        return int(str(forward.local))

    def __getstate__(self) -> dict[str, object]:
        """Leave the forward behind: it belongs to this process."""
        return {**vars(self), "_forward": None}
