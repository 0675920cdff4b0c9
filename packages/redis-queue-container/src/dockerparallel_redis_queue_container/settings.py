"""What the running containers are told by environment variables, and the reading of it.

The containers' configuration (``container.py``) writes these variables, and the programs in the
containers read them. The client reads the :class:`QueueSettings` of its worker container too, so
that both sides work with the same numbers. A user may set those in ``container.environment``.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from dockerparallel.environment import BIND_ADDRESS_VARIABLE, read_secret
from dockerparallel_redis_queue_container.errors import SettingsError

PASSWORD = "DOCKERPARALLEL_REDIS_PASSWORD"  # noqa: S105  # the name of a secret, not one
PORT = "DOCKERPARALLEL_REDIS_PORT"
SERVER_HOST = "DOCKERPARALLEL_SERVER_HOST"
SERVER_PORT = "DOCKERPARALLEL_SERVER_PORT"
JOB_QUEUE_NAME = "DOCKERPARALLEL_JOB_QUEUE_NAME"
WORKER_NUMBER = "DOCKERPARALLEL_WORKER_NUMBER"
PIP_PACKAGES = "DOCKERPARALLEL_PIP_PACKAGES"
SYSTEM_PACKAGES = "DOCKERPARALLEL_SYSTEM_PACKAGES"

LEASE = "DOCKERPARALLEL_LEASE_SECONDS"
HEARTBEAT = "DOCKERPARALLEL_HEARTBEAT_SECONDS"
LATE_MOVE = "DOCKERPARALLEL_LATE_MOVE_SECONDS"
MAX_ATTEMPTS = "DOCKERPARALLEL_MAX_ATTEMPTS"
RESULT_EXPIRY = "DOCKERPARALLEL_RESULT_EXPIRY_SECONDS"
SERVER_WAIT = "DOCKERPARALLEL_SERVER_WAIT_SECONDS"
STOP_GRACE = "DOCKERPARALLEL_STOP_GRACE_SECONDS"
INSTALL_TIMEOUT = "DOCKERPARALLEL_INSTALL_TIMEOUT_SECONDS"

DATA_FOLDER = "DOCKERPARALLEL_REDIS_DATA_FOLDER"
MAX_MEMORY = "DOCKERPARALLEL_REDIS_MAX_MEMORY_BYTES"

HEARTBEAT_FILE = "DOCKERPARALLEL_HEARTBEAT_FILE"
"""Set by an image: the file that is touched whenever the server has taken a heartbeat."""

THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
"""Variables that libraries read to choose how many threads (loky: processes) to use."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class QueueSettings:
    """Times and limits of the queue, in seconds where not said otherwise.

    Parameters
    ----------
    lease
        How long a worker counts as alive after its supervisor's last heartbeat.
    heartbeat
        Time between two heartbeats; less than half of the lease.
    late_move
        How long the task list of a dead worker is looked after, in case the network delivers a
        command of that worker late.
    max_attempts
        Number of workers that may die over a task before it fails.
    result_expiry
        How long results that nobody collects are kept.
    server_wait
        How long workers wait for a server that does not answer before they end.
    stop_grace
        How long a worker may take to end after SIGTERM before it is killed.
    install_timeout
        How long the installation of packages may take.
    """

    lease: float = 10.0
    heartbeat: float = 2.0
    late_move: float = 120.0
    max_attempts: int = 3
    result_expiry: int = 86_400
    server_wait: float = 60.0
    stop_grace: float = 5.0
    install_timeout: float = 600.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; variables that are not set leave the defaults.

        Raises
        ------
        SettingsError
            A variable is not a number in its range, or the lease is too short for the heartbeat.
        """
        settings = cls(
            lease=_seconds(environ, LEASE, cls.lease),
            heartbeat=_seconds(environ, HEARTBEAT, cls.heartbeat),
            late_move=_seconds(environ, LATE_MOVE, cls.late_move),
            max_attempts=_whole(environ, MAX_ATTEMPTS, cls.max_attempts),
            result_expiry=_whole(environ, RESULT_EXPIRY, cls.result_expiry),
            server_wait=_seconds(environ, SERVER_WAIT, cls.server_wait),
            stop_grace=_seconds(environ, STOP_GRACE, cls.stop_grace),
            install_timeout=_seconds(environ, INSTALL_TIMEOUT, cls.install_timeout),
        )
        if settings.heartbeat > settings.lease / 2:
            raise SettingsError(
                f"{HEARTBEAT}={settings.heartbeat:g} is more than half of "
                f"{LEASE}={settings.lease:g}: a worker would be taken for dead when one heartbeat "
                "is late. Set a longer lease or a shorter heartbeat."
            )
        return settings


@dataclass(frozen=True)
class ServerSettings:
    """What the server program is told; a user may set the optional ones in ``environment``.

    Parameters
    ----------
    port
        Where to listen.
    bind_address
        On which address; all of the machine where it is ``None``.
    password
        The password.
    data_folder
        A folder on a disk that outlives the server. The server then notes each change there before
        it answers (Redis' append-only file, ``appendfsync always``), and has all of the queue again
        when it is started with the same folder: clients and workers that still wait for it go on.
        By default the queue is in memory only.
    max_memory
        How many bytes the queue may take before submitters are slowed. By default three quarters
        of the container's memory, where it has a limit; else there is none.
    """

    port: int
    bind_address: str | None
    password: str = field(repr=False)
    data_folder: Path | None = None
    max_memory: int | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings of the server program.

        Raises
        ------
        SettingsError
            The password is missing (the server is never run without), the port is no port, or the
            memory no number of bytes.
        """
        source = os.environ if environ is None else environ
        return cls(
            port=_port(source, PORT),
            bind_address=source.get(BIND_ADDRESS_VARIABLE) or None,
            password=_password(source),
            data_folder=Path(source[DATA_FOLDER]) if source.get(DATA_FOLDER) else None,
            max_memory=_whole(source, MAX_MEMORY, 1) if MAX_MEMORY in source else None,
        )


@dataclass(frozen=True)
class WorkerSettings:
    """What the worker program is told: the queue, how many workers, what to install."""

    host: str
    port: int
    job_queue_name: str
    worker_number: int
    pip_packages: tuple[str, ...]
    system_packages: tuple[str, ...]
    queue: QueueSettings
    password: str = field(repr=False)
    heartbeat_file: Path | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings of the worker program.

        Raises
        ------
        SettingsError
            A variable is missing or cannot be used; the message names it.
        """
        source = os.environ if environ is None else environ
        return cls(
            host=_required(source, SERVER_HOST),
            port=_port(source, SERVER_PORT),
            job_queue_name=_required(source, JOB_QUEUE_NAME),
            worker_number=_whole(source, WORKER_NUMBER, 1),
            pip_packages=_names(source, PIP_PACKAGES),
            system_packages=_names(source, SYSTEM_PACKAGES),
            queue=QueueSettings.from_environment(source),
            password=_password(source),
            heartbeat_file=Path(source[HEARTBEAT_FILE]) if source.get(HEARTBEAT_FILE) else None,
        )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(
            f"The environment variable {name} is not set. The cluster sets it when it starts a "
            "container; to start one by hand, take all that cluster.external_worker() gives."
        )
    return value


def _password(environ: Mapping[str, str]) -> str:
    value = read_secret(PASSWORD, environ)
    if not value:
        raise SettingsError(
            f"There is no password: set the environment variable {PASSWORD}, or put a file of "
            "that name into the secrets folder. The queue is never used without a password, since "
            "whoever reaches it can run code on the workers."
        )
    return value


def _parsed(environ: Mapping[str, str], name: str, parse: Callable[[str], _T], what: str) -> _T:
    text = _required(environ, name)
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(
            f"The environment variable {name} must be {what}, not {text!r}."
        ) from error


def _port(environ: Mapping[str, str], name: str) -> int:
    def parse(text: str) -> int:
        port = int(text)
        if not 1 <= port <= 65535:  # noqa: PLR2004  # the range of TCP ports
            raise ValueError(text)
        return port

    return _parsed(environ, name, parse, "a port from 1 to 65535")


def _whole(environ: Mapping[str, str], name: str, default: int) -> int:
    def parse(text: str) -> int:
        number = int(text)
        if number < 1:
            raise ValueError(text)
        return number

    return _parsed(environ, name, parse, "a whole number from 1") if name in environ else default


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    def parse(text: str) -> float:
        number = float(text)
        if not (number > 0 and math.isfinite(number)):
            raise ValueError(text)
        return number

    return (
        _parsed(environ, name, parse, "a number of seconds above 0") if name in environ else default
    )


def _names(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    def parse(text: str) -> tuple[str, ...]:
        names = json.loads(text)
        if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
            raise ValueError(text)
        return tuple(names)

    return _parsed(environ, name, parse, "a JSON list of strings") if name in environ else ()
