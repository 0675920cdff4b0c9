"""An external server as a process of this machine."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dockerparallel import DockerContainer
from dockerparallel.environment import BIND_ADDRESS_VARIABLE, SECRETS_DIR_VARIABLE
from dockerparallel.log import LOGGER_NAME
from dockerparallel_conformance.external_waiting import (
    HOST,
    ExternalServerError,
    log_end,
    private_folder,
    wait_until_it_listens,
    write_secrets,
)

_OWN_PREFIX = "DOCKERPARALLEL_"
_GRACE_SECONDS = 10.0
_PAUSE_SECONDS = 0.02

_log = logging.getLogger(LOGGER_NAME)


@contextmanager
def server_as_process(
    container: DockerContainer, port: int, timeout: float, host: str = HOST
) -> Iterator[None]:
    """Run the command of a configured server for the block, in a session of its own.

    It gets this process's environment and the container's on top, finds its secrets in files, and
    is told to listen on `host` alone. ``python`` as a command is the Python that runs this.

    Raises
    ------
    ExternalServerError
        There is no command, its program cannot be started, or it ended before it listened.
    WaitTimeoutError
        It did not listen on ``port`` in time.
    """
    if not container.command:
        raise ExternalServerError(
            f"{container!r} has the command {container.command!r}, so that it can only run as a "
            "Docker container: start a Docker engine that has its image, or override the "
            "external_server fixture."
        )
    command = list(container.command)
    if command[0] in {"python", "python3"}:
        command[0] = sys.executable
    with private_folder() as folder:
        log = folder / "log"
        process = _spawn(command, _environment(container, folder, host), folder, log)
        try:
            wait_until_it_listens(
                lambda: port,
                lambda: _how_it_ended(process),
                lambda: log_end(log.read_text(errors="replace"), container.secrets),
                timeout,
                host,
            )
            yield
        finally:
            _end(process)


def _environment(container: DockerContainer, folder: Path, host: str) -> dict[str, str]:
    inherited = {
        name: text
        for name, text in os.environ.items()
        # What another cluster has put there; and a variable of a secret's name would hide it.
        if not name.startswith(_OWN_PREFIX) and name not in container.secrets
    }
    return {
        **inherited,
        **container.environment,
        BIND_ADDRESS_VARIABLE: host,
        SECRETS_DIR_VARIABLE: str(write_secrets(folder, container.secrets)),
    }


def _spawn(
    command: list[str], environment: dict[str, str], folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    work = folder / "work"
    work.mkdir()
    with log.open("wb") as output:
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=work,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ExternalServerError(
                f"The program {command[0]!r} of the external server could not be started "
                f"({error}): install it here, or start a Docker engine that has its image."
            ) from error


def _how_it_ended(process: subprocess.Popen[bytes]) -> str | None:
    code = process.poll()
    if code is None:
        return None
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server with all that it has started in its group; SIGTERM, then SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        # Once nothing of it lives, the number of the group may be given to another.
        if not _lives(process):
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + _GRACE_SECONDS
        while _lives(process) and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
    if _lives(process):
        _log.warning("Processes of group %d outlived SIGKILL; remove them by hand.", process.pid)


def _lives(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether anything of the process's group is there, and reap the process itself."""
    if process.poll() is None:
        return True
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
