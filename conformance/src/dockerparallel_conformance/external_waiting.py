"""What both forms of an external server share: its files, and waiting until it listens."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dockerparallel import DockerParallelError, WaitTimeoutError

HOST = "127.0.0.1"
_CONNECT_SECONDS = 1.0
_HOLD_SECONDS = 0.3
_PAUSE_SECONDS = 0.05
_LOG_LINES = 30


class ExternalServerError(DockerParallelError, RuntimeError):
    """An external server for the checks could not be run; the message tells why."""


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder that only this user can enter, and remove it after the block.

    It lies in ``$XDG_RUNTIME_DIR`` where there is one, which is usually memory and no disk.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    parent = runtime if runtime and Path(runtime).is_dir() else None
    with tempfile.TemporaryDirectory(prefix="dockerparallel-external-", dir=parent) as folder:
        yield Path(folder)


def write_secrets(folder: Path, values: Mapping[str, str]) -> Path:
    """Write each secret into a file of its name in a new folder, and return that.

    Everybody may read them who can enter ``folder``: in a container, whatever user its image runs
    as; on this machine, nobody else, since ``folder`` is private.
    """
    secrets = folder / "secrets"
    secrets.mkdir()
    secrets.chmod(0o755)
    for name, value in values.items():
        file = secrets / name
        file.write_bytes(value.encode())
        file.chmod(0o444)
    return secrets


def log_end(log: str, values: Mapping[str, str]) -> str:
    """Return the last lines of a log for a message, with secrets blotted out."""
    for name, value in values.items():
        log = log.replace(value, f"[{name}]")
    lines = log.splitlines()[-_LOG_LINES:]
    return "The end of its log:\n" + "\n".join(lines) if lines else "Its log is empty."


def wait_until_it_listens(
    find_port: Callable[[], int | None],
    how_it_ended: Callable[[], str | None],
    tell: Callable[[], str],
    timeout: float,
    host: str,
) -> int:
    """Wait until the server accepts a connection, and return its port on this machine.

    Parameters
    ----------
    find_port
        Gives the port; ``None`` where it is not known yet.
    how_it_ended
        Gives ``None`` while the server runs.
    tell
        Describes its log; called where it failed.
    timeout
        Seconds to wait.
    host
        Address of this machine on which it listens.

    Raises
    ------
    ExternalServerError
        It ended.
    WaitTimeoutError
        The time is up.
    """
    deadline = time.monotonic() + timeout
    while True:
        port = find_port()
        listens = port is not None and _keeps_a_connection(host, port)
        # Asked last: who answers on the port of a server that has ended is somebody else.
        ended = how_it_ended()
        if ended is not None:
            raise ExternalServerError(
                f"The external server {ended} before it accepted a connection. {tell()}"
            )
        if listens and port is not None:
            return port
        if time.monotonic() > deadline:
            raise WaitTimeoutError(
                f"The external server accepted no connection within {timeout:g} seconds. {tell()}"
            )
        time.sleep(_PAUSE_SECONDS)


def _keeps_a_connection(host: str, port: int) -> bool:
    """Tell whether a server answers on a port of this machine.

    To be accepted is not enough: Docker accepts in the name of a container in which nobody listens
    yet, and hangs up when it notices.
    """
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS) as connection:
            connection.settimeout(_HOLD_SECONDS)
            try:
                return connection.recv(1) != b""
            except TimeoutError:
                return True
    except OSError:
        # Nobody listens yet: that is the answer, whatever the system calls it.
        return False
