"""Choosing the server's port on a machine that clusters share."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from dockerparallel import InvalidValueError, ProviderError
from dockerparallel_local_process_provider.process_table import has_proc, open_files

_CONNECT_TIMEOUT = 1.0


class PortClaim:
    """A port that no other cluster of this machine chooses, from now until it is released.

    The time between finding a port free and the server's listening there is long enough for
    another session to find the same. Sessions may have different users and runtime folders, so
    on Linux the claim is a name in the abstract namespace of Unix sockets (unix(7)), which is
    one for the machine, or the network namespace, as ports are, and goes with the process that
    holds it. Other systems have no such names: there sessions of one runtime folder alone know
    of each other, by its state files.

    Parameters
    ----------
    port
        The port that was found free.

    Raises
    ------
    OSError
        Another session holds it (``EADDRINUSE``).
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if not sys.platform.startswith("linux"):
            return
        try:
            self._name.bind(f"\0dockerparallel-port-{port}")
        except OSError:
            self._name.close()
            raise

    def release(self) -> None:
        """Let others choose the port; idempotent."""
        self._name.close()


def claim_port(host: str, wanted: int, reserved: Collection[int]) -> PortClaim:
    """Claim ``wanted`` if it is free, else the next free port above it.

    Raises
    ------
    InvalidValueError
        The system lets this user not listen there: the port is below 1024, or ``host`` is no
        address of this machine.
    ProviderError
        No port above is free.
    """
    for port in range(wanted, 65536):
        if port in reserved or not _is_free(host, port):
            continue
        try:
            return PortClaim(port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # Another session is about to listen there.
    raise ProviderError(
        f"No port from {wanted} to 65535 is free on {host}: set cluster.config.server_port lower."
    )


def accepts_connections(host: str, port: int) -> bool:
    """Tell whether somebody answers there; on a loopback address this does not block."""
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT):
            return True
    except OSError:
        # Nobody listens yet: that is the answer, whatever the system calls it.
        return False


def listens(port: int, pids: Iterable[int]) -> bool:
    """Tell whether one of these processes listens on the port; where this cannot be seen, yes.

    Somebody else may have taken the port since it was found free: that server must not get the
    password of ours. Reads Linux's table of TCP sockets (proc_net_tcp: the state ``0A`` listens).
    """
    if not has_proc():
        return True
    wanted = set()
    for table in ("tcp", "tcp6"):
        for line in _lines(Path("/proc/net") / table)[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                wanted.add(f"socket:[{fields[9]}]")
    return any(not wanted.isdisjoint(open_files(pid)) for pid in pids)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        # A system without IPv6.
        return []


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # So that connections which are just closing do not make the port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise InvalidValueError(
                f"A server cannot listen on {host} port {port} ({error}): use an address of this "
                "machine as host= of LocalProcessProvider, and a server_port from 1024 up."
            ) from error
    return True
