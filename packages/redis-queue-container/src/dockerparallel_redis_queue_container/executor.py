"""``concurrent.futures.Executor`` over the workers of a cluster."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, wait
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from dockerparallel.errors import InvalidTypeError, InvalidValueError
from dockerparallel_redis_queue_container.chunks import run_chunk
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.futures import ClusterFuture

if TYPE_CHECKING:
    from dockerparallel import DockerCluster

_P = ParamSpec("_P")
_T = TypeVar("_T")


class ClusterExecutor(Executor):
    """Runs calls on the workers of a cluster; a complete :class:`concurrent.futures.Executor`.

    Users get one from ``cluster.worker_container.executor()``. It keeps the cluster's handle
    alive. Thread-safe. Several may be open at once, all on one connection. Calls, arguments and
    results are pickled; what the workers cannot import is sent along. When the cluster is gone,
    futures fail with :class:`~dockerparallel.BrokenClusterError`, and so does ``submit``.

    Parameters
    ----------
    client
        The connection to the queue.
    cluster
        What is to be kept alive.

    Where it holds a named job, :meth:`shutdown` lets the job go: its results stay on the server,
    and its open tasks go on, until somebody attaches to it or removes it.
    """

    def __init__(self, client: QueueClient, cluster: DockerCluster | None = None) -> None:
        self._client = client
        self._cluster = cluster
        self._lock = threading.Lock()
        # What its open futures are found by: they must not keep the executor, and the cluster.
        self._group = object()
        self._shut_down = False

    @property
    def job(self) -> str | None:
        """The name of the job that this executor holds; ``None`` where it holds none."""
        return None if self._client.job is None else self._client.job.name

    @property
    def attached_futures(self) -> dict[int, ClusterFuture[Any]]:
        """The tasks that the job had when this executor attached to it.

        Returns
        -------
        dict
            The future of each task by its number: calls and chunks of ``map`` are counted from
            0, in the order in which they were submitted. Cancelled ones are not in it.
        """
        return dict(self._client.attached_futures)

    def submit(
        self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> ClusterFuture[_T]:
        """Send ``fn(*args, **kwargs)`` to the workers and return its future.

        What cannot be pickled raises here, not in the future. Where no other call is open, it
        blocks for one round trip to the server, and what cannot be sent raises here too; else it
        returns at once, and is sent with what came beside it.

        Raises
        ------
        RuntimeError
            The executor was shut down.
        BrokenClusterError
            The cluster is gone (a ``BrokenExecutor``).
        CodeShippingError
            The call, or the code that it needs, is too big to be sent.
        """
        self._check_open()
        return self._client.submit_call(fn, args, kwargs, self._group)

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[_T]:
        """Return an iterator over ``fn`` of the items, in their order; the tasks start at once.

        The iterables are used up before the call returns. Leaving the iterator, by an exception
        or by dropping it, cancels what has not begun.

        Parameters
        ----------
        fn
            Called with one item of each iterable.
        *iterables
            The arguments; the shortest one ends it.
        timeout
            Seconds from this call until ``TimeoutError``; no limit by default.
        chunksize
            Number of calls that travel as one task, at least 1.

        Raises
        ------
        RuntimeError
            The executor was shut down.
        InvalidValueError, InvalidTypeError
            ``chunksize`` is no whole number from 1.
        BrokenClusterError
            The cluster is gone.
        """
        if isinstance(chunksize, bool) or not isinstance(chunksize, int):
            raise InvalidTypeError(f"chunksize must be a whole number, not {chunksize!r}.")
        if chunksize < 1:
            raise InvalidValueError(f"chunksize must be at least 1, not {chunksize}.")
        self._check_open()
        deadline = None if timeout is None else time.monotonic() + timeout
        items = zip(*iterables, strict=False)
        if chunksize == 1:
            return self._results(self._send((fn, item, {}) for item in items), deadline)
        chunks = iter(lambda: tuple(itertools.islice(items, chunksize)), ())
        parts = self._results(
            self._send((run_chunk, (fn, chunk), {}) for chunk in chunks), deadline
        )
        return _flattened(parts)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. The cluster itself goes on. Idempotent.

        Parameters
        ----------
        wait
            Whether to block until all calls are done; they are also where the cluster is gone.
        cancel_futures
            Whether to cancel the calls that no worker has begun.
        """
        with self._lock:
            self._shut_down = True
        pending = self._client.open_futures(self._group)
        if cancel_futures:
            self._client.cancel_futures(pending)
        if wait:
            _wait(pending)
        self._cluster = None
        if wait and self._client.job is not None:
            # All that it submitted is done. Without `wait`, it is let go with its last future.
            self._client.close()

    # -----------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        with self._lock:
            if self._shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")

    def _send(
        self, calls: Iterable[tuple[Callable[..., Any], Any, Any]]
    ) -> list[ClusterFuture[Any]]:
        return self._client.submit_many(calls, self._group)

    def _results(
        self, futures: Sequence[ClusterFuture[_T]], deadline: float | None
    ) -> Iterator[_T]:
        # A generator inside, so that the tasks are sent before the first item is asked for.
        def iterate() -> Iterator[_T]:
            waiting = list(reversed(futures))
            try:
                while waiting:
                    left = None if deadline is None else deadline - time.monotonic()
                    future = waiting[-1]
                    value = future.result(left)
                    waiting.pop()
                    del future
                    yield value
            finally:
                if waiting:
                    self._client.cancel_futures(waiting)

        return iterate()


def _flattened(parts: Iterator[list[_T]]) -> Iterator[_T]:
    for part in parts:
        part.reverse()
        while part:
            yield part.pop()


_wait = wait
