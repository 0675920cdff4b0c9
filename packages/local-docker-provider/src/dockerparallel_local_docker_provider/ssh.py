"""Forwards from an ssh host to this machine, by the ``ssh`` command.

So the user's own configuration, keys and agent serve. A forward ends with this process, however
that ends: on the host, ``ssh`` runs ``cat``, which reads until this process is gone.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import weakref
from pathlib import Path
from urllib.parse import urlsplit

from dockerparallel_local_docker_provider.engine_address import EngineAddress
from dockerparallel_local_docker_provider.errors import ForwardError

LOOPBACK = "127.0.0.1"
_ASK_SOCKET = ("docker", "context", "inspect", "--format", "'{{.Endpoints.docker.Host}}'")
_PAUSE = 0.05
_END_SECONDS = 5.0
_OPTIONS = (
    # There is no terminal to ask on.
    "BatchMode=yes",
    "ExitOnForwardFailure=yes",
    # A connection that the user shares would keep the forward when we have ended.
    "ControlMaster=no",
    "ControlPath=none",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
)


class SshForward:
    """One forward from an ssh host.

    Parameters
    ----------
    address
        The engine, ``ssh://[user@]host[:port]``.
    local, remote
        What listens here and where it leads, as the option ``-L`` of ``ssh`` has them: a port of
        loopback, or the path of a socket.
    timeout
        Seconds to wait until the forward works.

    Raises
    ------
    ForwardError
        There is no ``ssh`` command, or it cannot forward; the message holds what it said.
    """

    def __init__(
        self, address: EngineAddress, local: int | Path, remote: int | str, timeout: float
    ) -> None:
        self.local = local
        self.remote = remote
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _end
        self._process = subprocess.Popen(
            [*_command(address, "-L", f"{_place(local)}:{_place(remote)}"), "cat", ">/dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
        )
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(
            self, _end, self._owner, self._process, self._errors, local
        )
        # At exit the pipe is closed anyway, and clusters that stop then need the forward.
        self._finalizer.atexit = False
        try:
            self._wait(address, timeout)
        except BaseException:
            self.close()
            raise

    @property
    def lives(self) -> bool:
        """Whether the forward is still there."""
        return self._process.poll() is None

    @property
    def is_ours(self) -> bool:
        """Whether this process started it; in a forked child it is the parent's."""
        return self._owner == os.getpid()

    def close(self) -> None:
        """End the forward. Idempotent."""
        self._finalizer()

    def _wait(self, address: EngineAddress, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            accepted = _accepts(self.local)
            # Asked last: who answers after the forward has failed is somebody else.
            if not self.lives:
                raise ForwardError(
                    f"'ssh' could not forward {_place(self.remote)} of {address}: {self._said()}. "
                    "See that it logs in there without asking."
                )
            if accepted:
                return
            if time.monotonic() > deadline:
                raise ForwardError(
                    f"'ssh' did not forward {_place(self.remote)} of {address} within {timeout:g} "
                    f"s: {self._said() or 'it said nothing'}."
                )
            time.sleep(_PAUSE)

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()


def forwarded_port(
    address: EngineAddress, port: int, timeout: float, local: int | None = None
) -> SshForward:
    """Forward a port of the loopback of an ssh host to one of this machine: ``local``, or any.

    Raises
    ------
    ForwardError
        It cannot be forwarded.
    """
    if local is None:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            local = int(probe.getsockname()[1])
    return SshForward(address, local, port, timeout)


def forwarded_engine(address: EngineAddress, timeout: float) -> SshForward:
    """Forward the socket of an ssh host's engine to one that this user alone can reach.

    It is the socket that the ``docker`` command would use on that host, which is asked.

    Raises
    ------
    ForwardError
        The host cannot be reached, has no ``docker`` command, or its engine has no socket there.
    """
    command = [*_command(address), *_ASK_SOCKET]
    try:
        asked = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ForwardError(
            f"'ssh' did not log in to {address} within {timeout:g} s: see that it does without "
            "asking, or pass a larger engine_timeout= to LocalDockerProvider."
        ) from error
    place = asked.stdout.strip()
    if asked.returncode != 0 or not place.startswith("unix://"):
        said = asked.stderr.strip() or f"the engine of that host is at {place!r}, no socket"
        raise ForwardError(
            f"The Docker engine at {address} cannot be used: {said}. See that 'ssh' logs in there "
            "without asking, and that 'docker info' works on that host."
        )
    # Who reaches the socket is root on that host.
    folder = Path(tempfile.mkdtemp(prefix="dockerparallel-ssh-", dir=_runtime_folder()))
    return SshForward(address, folder / "engine.sock", place.removeprefix("unix://"), timeout)


def _command(address: EngineAddress, *options: str) -> list[str]:
    program = shutil.which("ssh")
    if program is None:
        raise ForwardError(
            f"There is no 'ssh' command on PATH to reach the Docker engine at {address} by: "
            "install the OpenSSH client."
        )
    parts = urlsplit(address.url)
    arguments = [program, *(text for option in _OPTIONS for text in ("-o", option)), *options]
    if parts.username:
        arguments += ["-l", parts.username]
    if parts.port:
        arguments += ["-p", str(parts.port)]
    return [*arguments, "--", parts.hostname or ""]


def _place(end: int | str | Path) -> str:
    return f"{LOOPBACK}:{end}" if isinstance(end, int) else str(end)


def _runtime_folder() -> str | None:
    folder = os.environ.get("XDG_RUNTIME_DIR")
    return folder if folder and Path(folder).is_dir() else None


def _accepts(local: int | Path) -> bool:
    family = socket.AF_INET if isinstance(local, int) else socket.AF_UNIX
    with socket.socket(family) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect((LOOPBACK, local) if isinstance(local, int) else str(local))
        except OSError:
            # Not yet.
            return False
    return True


def _end(owner: int, process: subprocess.Popen[bytes], errors: object, local: int | Path) -> None:
    if process.stdin is not None:
        process.stdin.close()
    # In a forked child, the process below counts as ended: it is the parent's.
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    errors.close()  # type: ignore[attr-defined]  # a temporary file has no type of its own
    if isinstance(local, Path) and owner == os.getpid():
        local.unlink(missing_ok=True)
        local.parent.rmdir()
