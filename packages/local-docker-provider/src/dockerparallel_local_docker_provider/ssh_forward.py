"""The server's port on an ssh host, forwarded to this machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from urllib.parse import urlsplit

from dockerparallel_local_docker_provider.engine import LOOPBACK
from dockerparallel_local_docker_provider.engine_address import EngineAddress
from dockerparallel_local_docker_provider.errors import ForwardError

_PAUSE = 0.05
_END_SECONDS = 5.0
_OPTIONS = (
    # It has no terminal to ask on.
    "BatchMode=yes",
    "ExitOnForwardFailure=yes",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
)


class SshForward:
    """A port of this machine's loopback that leads to one of the ssh host's loopback.

    By the ``ssh`` command, so that the user's own configuration, keys and agent serve. It ends
    with this process, however that ends: ``ssh`` runs ``cat`` on the host, which reads until this
    process is gone.

    Parameters
    ----------
    address
        The engine, ``ssh://[user@]host[:port]``.
    port
        Where the server is published on that host's loopback.
    timeout
        Seconds to wait until the forward works.

    Raises
    ------
    ForwardError
        There is no ``ssh`` command, or it cannot forward; the message holds what it said.
    """

    def __init__(self, address: EngineAddress, port: int, timeout: float) -> None:
        program = shutil.which("ssh")
        if program is None:
            raise ForwardError(
                f"There is no 'ssh' command on PATH to forward the server's port from {address}: "
                "install the OpenSSH client."
            )
        self.remote_port = port
        self.port = _free_port()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [program, *_arguments(address, self.port, port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
        )
        try:
            self._wait(address, timeout)
        except BaseException:
            self.close()
            raise

    @property
    def lives(self) -> bool:
        """Whether the forward is still there."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the forward. Idempotent."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _wait(self, address: EngineAddress, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            accepted = _accepts(self.port)
            # Asked last: who answers after the forward has failed is somebody else.
            if not self.lives:
                raise ForwardError(
                    f"'ssh' could not forward the server's port from {address}: {self._said()}. "
                    "See that it logs in there without asking."
                )
            if accepted:
                return
            if time.monotonic() > deadline:
                raise ForwardError(
                    f"'ssh' did not forward the server's port from {address} within {timeout:g} "
                    f"s: {self._said() or 'it said nothing'}."
                )
            time.sleep(_PAUSE)

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()


def _arguments(address: EngineAddress, local: int, remote: int) -> list[str]:
    parts = urlsplit(address.url)
    arguments = [text for option in _OPTIONS for text in ("-o", option)]
    arguments += ["-L", f"{LOOPBACK}:{local}:{LOOPBACK}:{remote}"]
    if parts.username:
        arguments += ["-l", parts.username]
    if parts.port:
        arguments += ["-p", str(parts.port)]
    return [*arguments, "--", parts.hostname or "", "cat", ">/dev/null"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        # Not yet.
        return False
