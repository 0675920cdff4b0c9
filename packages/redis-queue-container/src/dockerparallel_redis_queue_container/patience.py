"""How long a client repeats a request that the server cannot take now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from redis.exceptions import OutOfMemoryError, RedisError

from dockerparallel import BackendError
from dockerparallel_redis_queue_container.collector import server_lost
from dockerparallel_redis_queue_container.connection import CONNECTION_FAILURES
from dockerparallel_redis_queue_container.errors import QueueFullError
from dockerparallel_redis_queue_container.futures import OpenFutures

_PAUSE = 0.05
_LONGEST_PAUSE = 0.5

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """Repeats requests, within limits. Thread-safe.

    Parameters
    ----------
    futures
        The futures of the client; once they have failed, nothing is repeated.
    server_timeout
        Seconds without an answer after which the server counts as gone.
    memory_timeout
        Seconds that a request waits for room where the memory of the server is full.
    must_not_wait
        Tells whether this thread must not wait for room.
    """

    futures: OpenFutures
    server_timeout: float
    memory_timeout: float
    must_not_wait: Callable[[], bool]

    def insist(self, request: Callable[[], _T]) -> _T:
        """Repeat a request that may be repeated, until the server has taken or refused it.

        Raises
        ------
        BrokenClusterError
            The server is gone, or the futures have failed.
        QueueFullError
            The memory of the server was full for ``memory_timeout``, or is where this thread must
            not wait.
        BackendError
            The server refused the request.
        """
        silent_since = full_since = None
        pause = _PAUSE
        while True:
            try:
                return request()
            except CONNECTION_FAILURES as error:
                self.futures.check()
                pause = _PAUSE
                now = time.monotonic()
                silent_since = now if silent_since is None else silent_since
                if now - silent_since >= self.server_timeout:
                    raise server_lost(error, now - silent_since) from error
            except OutOfMemoryError as error:
                self.futures.check()
                silent_since, now = None, time.monotonic()
                if full_since is None:
                    full_since = now
                    _log.warning(
                        "The memory of the cluster's server is full: what is submitted waits until "
                        "results free some."
                    )
                waited = now - full_since
                if waited >= self.memory_timeout or self.must_not_wait():
                    raise queue_full(waited) from error
                pause = min(2 * pause, _LONGEST_PAUSE, self.memory_timeout - waited)
            except RedisError as error:
                raise BackendError(f"The cluster's server refused the request: {error}") from error
            time.sleep(pause)


def queue_full(waited: float) -> QueueFullError:
    """Return the error for a request that found the server's memory full for so many seconds."""
    return QueueFullError(
        f"The memory of the cluster's server is full, and results have freed none in {waited:.0f} "
        "s: wait for results before submitting more, add workers, start the cluster with more "
        "server_memory, or wait longer (memory_timeout=...)."
    )
