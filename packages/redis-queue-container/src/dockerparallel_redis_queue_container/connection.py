"""Connections to the Redis or Valkey server of a queue, and what their failures mean."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from dockerparallel_redis_queue_container.errors import (
    NotAQueueServerError,
    QueueConnectionError,
    QueueTimeoutError,
    WrongPasswordError,
)

if TYPE_CHECKING:
    from dockerparallel import Endpoint

CONNECTION_FAILURES = (redis.ConnectionError, redis.TimeoutError, OSError)
"""What a command raises when the server or the way to it is gone; it may be repeated later."""

_T = TypeVar("_T")

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.5
# A connection whose other end answers no packet fails after about ten seconds. Without this, one
# whose address or route has changed would keep a worker and its task until the command times out.
KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (
        ("TCP_KEEPIDLE", 5),
        ("TCP_KEEPINTVL", 1),
        ("TCP_KEEPCNT", 5),
        ("TCP_USER_TIMEOUT", 10_000),
    )
    # Not every system has all of them.
    if hasattr(socket, name)
}
"""Options of TCP for every connection to the server."""


def connect(
    endpoint: Endpoint, password: str, *, timeout: float, connect_timeout: float = 5.0
) -> redis.Redis:
    """Return a client of the server at ``endpoint``; nothing is sent yet.

    Called by client, supervisor and worker. The result is thread-safe and notices a fork. It
    never repeats a command by itself: the callers know which ones may be repeated.

    Parameters
    ----------
    endpoint
        Where the server answers.
    password
        The password of the server.
    timeout
        Seconds that one command may wait for the network; more than a blocking command blocks.
    connect_timeout
        Seconds that making a connection may take.
    """
    return redis.Redis(
        host=endpoint.host,
        port=endpoint.port,
        password=password,
        socket_timeout=timeout,
        socket_connect_timeout=connect_timeout,
        socket_keepalive=True,
        socket_keepalive_options=KEEPALIVE,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


def persist(request: Callable[[], _T], pause: float = 0.2) -> _T:
    """Repeat a request of a task as long as the connection fails; any other failure is raised.

    For workers, so that a task does not fail because the server is away for a while. How long to
    hope is the supervisor's decision, which ends the worker.
    """
    while True:
        try:
            return request()
        except CONNECTION_FAILURES:
            # The server is away, restarts or loads its data.
            time.sleep(pause)


def wait_for_server(connection: redis.Redis, endpoint: Endpoint, timeout: float) -> None:
    """Wait until the server answers a PING with the password, at most ``timeout`` seconds.

    Raises
    ------
    WrongPasswordError
        The server refused the password, or wants none; at once.
    NotAQueueServerError
        Something else than a Redis or Valkey server answered; at once.
    QueueTimeoutError
        Connections are accepted, but nothing answers.
    QueueConnectionError
        No connection could be made; the message has the last reason.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        try:
            connection.ping()
        except (RedisError, OSError) as error:
            failure = explain(error, endpoint, timeout)
            fatal = isinstance(failure, (WrongPasswordError, NotAQueueServerError))
            if fatal or time.monotonic() + pause >= deadline:
                raise failure from error
        else:
            return
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def explain(error: Exception, endpoint: Endpoint, waited: float) -> QueueConnectionError:
    """Return the error of ours that tells the user what ``error`` of the connection means."""
    where = f"{endpoint.host}:{endpoint.port}"
    text = str(error)
    unprotected = "no password is set" in text or "without any password" in text
    if isinstance(error, (AuthenticationError, ResponseError)) and unprotected:
        return WrongPasswordError(
            f"The server at {where} asks for no password, so anyone who reaches it could run code "
            "on the workers. Set `requirepass` there, and give that password to the cluster."
        )
    if isinstance(error, (AuthenticationError, redis.exceptions.NoPermissionError)):
        return WrongPasswordError(
            f"The server at {where} refused the password. Is it the server of another cluster? "
            "For an external server, pass ExternalServer(password=...)."
        )
    if isinstance(error, BusyLoadingError):
        return QueueTimeoutError(
            f"The server at {where} was still loading its data after {waited:g} s: "
            "wait longer (timeout=...)."
        )
    if isinstance(error, (InvalidResponse, ResponseError)):
        return NotAQueueServerError(
            f"What answers at {where} is no Redis or Valkey server that this queue can use "
            f"({_short(error)}). Check address and port."
        )
    if isinstance(error, (redis.TimeoutError, TimeoutError)):
        return QueueTimeoutError(
            f"The server at {where} did not answer within {waited:g} s. Check that the address is "
            "reachable from here (firewall, security group), or wait longer (timeout=...)."
        )
    return QueueConnectionError(
        f"No connection to the server at {where} within {waited:g} s: {_short(error)} Check that "
        "the server runs and that its address is reachable from here."
    )


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:200] + ("" if text[:200].endswith(".") else ".")
