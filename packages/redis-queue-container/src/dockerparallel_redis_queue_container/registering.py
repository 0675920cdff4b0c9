"""Connecting a session to the queue of its cluster."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from redis.exceptions import RedisError

from dockerparallel.errors import InvalidTypeError
from dockerparallel.validation import check_seconds
from dockerparallel_redis_queue_container import registration
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.connection import connect, explain, wait_for_server
from dockerparallel_redis_queue_container.errors import (
    ProtocolVersionError,
    PythonVersionError,
)
from dockerparallel_redis_queue_container.jobs import JobRequest
from dockerparallel_redis_queue_container.keys import PROTOCOL
from dockerparallel_redis_queue_container.settings import QueueSettings

if TYPE_CHECKING:
    from dockerparallel import DockerCluster

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25
_ANSWER_TIMEOUT = 5.0
# Between two questions to the provider how far its workers are.
_LOOK_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class RegistrationOptions:
    """The options of ``register_backend``, in seconds; see ``register_parallel_backend``."""

    timeout: float = 30.0
    worker_timeout: float = 15.0
    worker_start_timeout: float = 600.0
    server_timeout: float = 5.0
    memory_timeout: float = 120.0

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Check what the user gave.

        Raises
        ------
        InvalidTypeError
            An option is unknown, or no number.
        InvalidValueError
            A number is not positive.
        """
        valid = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(options) - set(valid))
        if unknown:
            raise InvalidTypeError(
                f"The redis-queue backend has no option {', '.join(map(repr, unknown))}. "
                f"Options: {', '.join(valid)}."
            )
        return cls(**{name: check_seconds(name, value) for name, value in options.items()})


def open_client(cluster: DockerCluster, options: RegistrationOptions) -> QueueClient:
    """Return the cluster's connection, made now if there is none or its server was lost.

    Raises
    ------
    ServerNotRunningError
        No server runs, or it has no address for this session.
    QueueConnectionError
        The server did not answer properly within ``options.timeout``.
    """
    present = registration.client_of(cluster.state)
    if present is not None:
        return present
    return registration.keep_client(cluster.state, _new_client(cluster, options, None))


def open_job(
    cluster: DockerCluster, options: RegistrationOptions, request: JobRequest
) -> QueueClient:
    """Return a connection of its own that holds a named job; it ends with the cluster's.

    Raises
    ------
    ServerNotRunningError, QueueConnectionError
        As :func:`open_client`.
    JobError
        The job cannot be had.
    """
    client = _new_client(cluster, options, request)
    registration.keep_job(cluster.state, client)
    return client


def _new_client(
    cluster: DockerCluster, options: RegistrationOptions, job: JobRequest | None
) -> QueueClient:
    endpoint = cluster.server_address_for_client()
    password = cluster.config.server_password
    connection = connect(
        endpoint,
        password,
        timeout=min(options.timeout, _ANSWER_TIMEOUT),
        connect_timeout=min(options.timeout, _ANSWER_TIMEOUT),
    )
    try:
        wait_for_server(connection, endpoint, options.timeout)
    finally:
        connection.close()
    worker_container = cluster.state.worker_container
    try:
        return QueueClient(
            endpoint,
            password,
            cluster.config.job_queue_name,
            QueueSettings.from_environment(worker_container.full_environment()),
            options.server_timeout,
            options.memory_timeout,
            job,
        )
    except (RedisError, OSError) as error:
        raise explain(error, endpoint, options.timeout) from error


@contextmanager
def answering(cluster: DockerCluster) -> Iterator[QueueClient]:
    """Give the cluster's connection for questions to the server.

    Raises
    ------
    ServerNotRunningError
        No server runs.
    QueueConnectionError
        The server does not answer.
    """
    client = open_client(cluster, RegistrationOptions())
    try:
        yield client
    except (RedisError, OSError) as error:
        endpoint = cluster.server_address_for_client()
        raise explain(error, endpoint, client.server_timeout) from error


def wait_for_worker(
    cluster: DockerCluster, client: QueueClient, options: RegistrationOptions
) -> None:
    """Wait for a first worker, if any is expected, and compare versions of Python.

    While the provider says that workers initialize, as where a cloud pulls their image, it waits
    up to ``worker_start_timeout``; from then on up to ``worker_timeout``.

    Raises
    ------
    PythonVersionError, ProtocolVersionError
        A worker runs another minor version of Python, or of this package another that does not fit.
    QueueConnectionError
        The server does not answer any more.
    """
    if cluster.config.expected_worker_number == 0:
        return
    start = time.monotonic()
    deadline = start + options.worker_timeout
    next_look = start + _LOOK_SECONDS
    pause = _FIRST_PAUSE
    while True:
        try:
            workers = client.queue.workers()
        except (RedisError, OSError) as error:
            endpoint = cluster.server_address_for_client()
            raise explain(error, endpoint, options.worker_timeout) from error
        if workers:
            check_versions({str(worker["python"]) for worker in workers})
            check_protocols({int(worker.get("protocol", 1)) for worker in workers})
            return
        now = time.monotonic()
        if now >= next_look:
            # The provider tells how far they are, and of those that have died why.
            coming = cluster.worker_numbers().initializing > 0
            if coming and now < start + options.worker_start_timeout:
                deadline = max(deadline, now + options.worker_timeout)
            next_look = time.monotonic() + _LOOK_SECONDS
        if now >= deadline:
            cluster.logger.warning(
                "No worker has come within %g s; tasks wait until one does. Look at the logs of "
                "the worker containers if none comes (worker_timeout= and worker_start_timeout= "
                "set how long to wait).",
                round(deadline - start, 2),
            )
            # Where they have died, as for a package that cannot be installed, the provider tells.
            cluster.worker_numbers()
            return
        time.sleep(min(pause, deadline - now))
        pause = min(2 * pause, _LONGEST_PAUSE)


def check_versions(found: set[str]) -> None:
    """Refuse workers of another minor version of Python than this session's."""
    ours = ".".join(platform.python_version_tuple()[:2])
    others = sorted(found - {ours})
    if others:
        raise PythonVersionError(
            f"The workers run Python {', '.join(others)}, and this session runs Python {ours}: "
            "pickled functions cannot travel between them. Use a worker image with Python "
            f"{ours} (its tag ends in -py{ours}), or run this session with Python {others[0]}."
        )


def check_protocols(found: set[int]) -> None:
    """Refuse workers whose version of this package handles the queue in another way."""
    others = sorted(found - {PROTOCOL})
    if others:
        raise ProtocolVersionError(
            f"The workers speak protocol {', '.join(map(str, others))} of the queue, and this "
            f"session speaks protocol {PROTOCOL}: tasks would hang. Install the same version of "
            "dockerparallel-redis-queue-container here and in the workers' image (python -m "
            "dockerparallel_redis_queue_container build-image makes one of the version here)."
        )
