"""One connection that is kept for the commands of the queue."""

from __future__ import annotations

import fcntl
import socket
import sys
import termios
import threading
from contextlib import suppress
from typing import Any

import redis
from redis.exceptions import ResponseError

_LARGE = 256 * 1024
_LOOK_SECONDS = 0.05
_LOOKS = 20


class HotLine:
    """Sends commands over a connection of its own. Thread-safe: one command at a time.

    `redis.Redis` takes a connection from its pool for each command, watches over it and counts;
    that costs as much time as the command. It opens at the first command and after a failure.

    A command fails where the network stands still for longer than the timeout of ``source``; one
    that is long may take longer on a slow network.

    Parameters
    ----------
    source
        Tells how to connect.
    """

    def __init__(self, source: redis.Redis) -> None:
        pool: Any = source.connection_pool
        self._connection = pool.connection_class(**pool.connection_kwargs)
        self._lock = threading.Lock()
        self._interrupted = False

    def command(self, *parts: Any) -> Any:
        """Send a command and return its reply, as the server gives it.

        Raises
        ------
        redis.RedisError
            The connection failed or was interrupted, or the server refused the command.
        """
        with self._lock:
            if self._interrupted:
                raise redis.ConnectionError("The connection was given up.")
            try:
                packed = self._connection.pack_command(*parts)
                if sum(map(len, packed)) > _LARGE:
                    return self._transfer(packed)
                self._connection.send_packed_command(packed)
                return self._connection.read_response()
            except ResponseError:
                # An answer like others.
                raise
            except BaseException:
                # The answer may still come: it must not be taken for that of the next command.
                self._connection.disconnect()
                raise

    def interrupt(self) -> None:
        """Fail the command that waits for the server, and all later ones; for any thread.

        A connection that is being made is looked after for a second; its timeout ends it else.
        """
        self._interrupted = True
        for _ in range(_LOOKS):
            shut_down(self._connection._sock)  # noqa: SLF001  # redis-py has no other way
            if self._lock.acquire(timeout=_LOOK_SECONDS):
                self._lock.release()
                return

    def close(self) -> None:
        """Close the connection; the next command opens it again."""
        self._connection.disconnect()

    def _transfer(self, packed: Any) -> Any:
        """Send a long command, piece by piece: Python bounds the whole of a `sendall`."""
        connection = self._connection
        connection.connect()
        link = connection._sock  # noqa: SLF001  # as above
        for part in packed:
            view = memoryview(part)
            while view:
                view = view[link.send(view) :]
        left = None
        while True:
            try:
                return connection.read_response(disconnect_on_error=False)
            except redis.TimeoutError:
                before, left = left, unsent(link)
                if not left or left == before:
                    raise


def unsent(link: socket.socket) -> int:
    """Return how many bytes the system has not brought to the other end yet."""
    return int.from_bytes(fcntl.ioctl(link, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def shut_down(link: socket.socket | None) -> None:
    """Wake whoever waits for a connection, in another thread, with a failure."""
    if link is not None:
        # Not connected any more: then nobody waits.
        with suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
