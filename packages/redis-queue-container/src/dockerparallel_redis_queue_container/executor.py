"""``concurrent.futures.Executor`` over the workers of a cluster."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, wait
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from dockerparallel_redis_queue_container.chunks import run_chunk
from dockerparallel_redis_queue_container.client import Call, QueueClient
from dockerparallel_redis_queue_container.futures import (
    ClusterFuture,
    FutureGroup,
    after_shutdown,
)
from dockerparallel_redis_queue_container.map_results import check_sizes, flattened, in_order

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
        # What its open futures are found by: they must not keep the executor, and the cluster.
        self._group = FutureGroup()
        # Of a job, which this executor alone collects: leaving its block waits for them, too.
        for future in client.attached_futures.values():
            future.group = self._group

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
        buffersize: int | None = None,
    ) -> Iterator[_T]:
        """Return an iterator over ``fn`` of the items, in their order; the tasks start at once.

        Without ``buffersize`` the iterables are used up before the call returns. An exception, of a
        task or by ``timeout``, ends the iterator. That, or dropping an iterator that has given a
        result, cancels what has not begun; one that was never asked does not, so the tasks run.

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
        buffersize
            The most tasks that are open, that is submitted with a result that was not yielded.
            So many are submitted at once, and another one each time a result is yielded; no item
            is taken from the iterables before, so they may be endless. A task is a chunk where
            ``chunksize`` is more than 1. No limit by default. The iterator then keeps the
            executor, and raises ``RuntimeError`` where it was shut down before the last item.

        Raises
        ------
        RuntimeError
            The executor was shut down.
        InvalidValueError, InvalidTypeError
            ``chunksize`` or ``buffersize`` is no whole number from 1.
        BrokenClusterError
            The cluster is gone.
        """
        check_sizes(chunksize, buffersize)
        self._check_open()
        deadline = None if timeout is None else time.monotonic() + timeout
        items = zip(*iterables, strict=False)
        if chunksize == 1:
            return self._results(((fn, item, {}) for item in items), buffersize, deadline)
        chunks = iter(lambda: tuple(itertools.islice(items, chunksize)), ())
        calls: Iterator[Call] = ((run_chunk, (fn, chunk), {}) for chunk in chunks)
        return flattened(self._results(calls, buffersize, deadline))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. The cluster itself goes on. Idempotent.

        The end of the interpreter shuts nothing down and waits for no task: who wants all done
        uses ``with``, or calls this.

        Parameters
        ----------
        wait
            Whether to block until all calls are done, and the callbacks of their futures; they
            are also where the cluster is gone.
        cancel_futures
            Whether to cancel the calls that no worker has begun.

        Raises
        ------
        RuntimeError
            It was called by a callback that would wait for results behind itself; the executor
            is shut down nevertheless.
        """
        pending = self._client.close_group(self._group)
        if cancel_futures:
            self._client.cancel_futures(pending)
        self._cluster = None
        if wait:
            if self._client.in_callback:
                if not all(future.done() for future in pending):
                    raise RuntimeError(
                        "shutdown(wait=True) was called by a callback, and the results that it "
                        "would wait for come after the callback: call shutdown(wait=False) here."
                    )
            else:
                _wait(pending)
                self._client.wait_for_callbacks()
            if self._client.job is not None:
                # All that it submitted is done. Without `wait`, it goes with its last future.
                self._client.close()

    # -----------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._group.closed:
            raise after_shutdown()

    def _results(
        self, calls: Iterator[Call], buffersize: int | None, deadline: float | None
    ) -> Generator[Any, None, None]:
        """Submit the first calls, and return the generator, so that these do not wait for it."""
        first = calls if buffersize is None else itertools.islice(calls, buffersize)
        futures = deque(self._client.submit_many(first, self._group))

        def submit_next() -> ClusterFuture[Any] | None:
            call = next(calls, None)
            if call is None:
                return None
            self._check_open()
            return self._client.submit_call(*call, self._group, wait=False)

        more = _nothing if buffersize is None else submit_next
        return in_order(futures, deadline, more, self._client.cancel_later)


def _nothing() -> None:
    return None


_wait = wait
