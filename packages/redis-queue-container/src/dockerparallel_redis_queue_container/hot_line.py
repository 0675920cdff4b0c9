"""One connection that is kept for the commands of the queue."""

from __future__ import annotations

import threading
from typing import Any

import redis
from redis.exceptions import ResponseError


class HotLine:
    """Sends commands over a connection of its own. Thread-safe: one command at a time.

    `redis.Redis` takes a connection from its pool for each command, watches over it and counts;
    that costs as much time as the command. It opens at the first command and after a failure.

    Parameters
    ----------
    source
        Tells how to connect.
    """

    def __init__(self, source: redis.Redis) -> None:
        pool: Any = source.connection_pool
        self._connection = pool.connection_class(**pool.connection_kwargs)
        self._lock = threading.Lock()

    def command(self, *parts: Any) -> Any:
        """Send a command and return its reply, as the server gives it.

        Raises
        ------
        redis.RedisError
            The connection failed, or the server refused the command.
        """
        with self._lock:
            try:
                self._connection.send_command(*parts)
                return self._connection.read_response()
            except ResponseError:
                # An answer like others.
                raise
            except BaseException:
                # The answer may still come: it must not be taken for that of the next command.
                self._connection.disconnect()
                raise

    def close(self) -> None:
        """Close the connection; the next command opens it again."""
        self._connection.disconnect()
