"""Futures of tasks on the cluster, and the table of those that are still open."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Protocol, TypeVar

from dockerparallel import BrokenClusterError
from dockerparallel_redis_queue_container import outcomes
from dockerparallel_redis_queue_container.keys import number_of
from dockerparallel_redis_queue_container.large_outcomes import LargeOutcome

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class Canceller(Protocol):
    """The part of the client that a future needs: questions to the server about its task."""

    def cancel_futures(self, futures: Iterable[ClusterFuture[Any]]) -> None:
        """Cancel those of the futures whose task has not begun."""

    def is_running(self, task_id: str) -> bool:
        """Tell whether a worker runs the task now."""


class ClusterFuture(Future[_T]):
    """The future of one task; made by the client only.

    A complete :class:`concurrent.futures.Future`: :meth:`cancel` and :meth:`running` ask the
    server, and so take a round trip, bounded by the client's server timeout. It keeps the
    connection to the queue alive, not the cluster. In a forked child, those of the parent that
    were open fail with :class:`~dockerparallel.BrokenClusterError`, without their callbacks: the
    results come to the parent.

    Callbacks run one after the other in the thread that delivers all results, so they must not
    wait for another result; they may submit tasks.
    """

    def __init__(
        self, task_id: str, canceller: Canceller, pid: int = 0, group: object = None
    ) -> None:
        super().__init__()
        self.task_id = task_id
        self.pid = pid
        self.group = group
        self._canceller = canceller

    @property
    def number(self) -> int:
        """The number of the task: how many were submitted before by its session, or to its job."""
        return number_of(self.task_id)

    def cancel(self) -> bool:
        """Cancel the task if it has not begun.

        One that waits at a worker, behind another, is begun, finished or given back within a
        moment; that moment is waited for, a tenth of a second at most.

        Returns
        -------
        bool
            Whether the task is cancelled; ``False`` where it runs, is done, or the server cannot
            be asked.
        """
        if not self.done():
            self._canceller.cancel_futures([self])
        return self.cancelled()

    def mark_cancelled(self) -> None:
        """Record that the server has cancelled the task, and tell those who wait."""
        try:
            super().cancel()
        finally:
            # Also where a callback raises what is no `Exception`.
            if self.cancelled():
                self.set_running_or_notify_cancel()

    def running(self) -> bool:
        """Return whether a worker runs the task at this moment.

        A task that waits at a worker, behind another, does not.
        """
        return not self.done() and self._canceller.is_running(self.task_id)

    def give_up(self, error: Exception) -> None:
        """Fail without calling back: in a forked child, or at the end of the interpreter.

        Callbacks are the parent's there, and here part of what has ended.
        """
        # A thread that this process does not have may hold any lock that there was.
        self._condition = threading.Condition()
        waiters: list[Any] = self._waiters
        for waiter in waiters:
            waiter.event = threading.Event()
            waiter.lock = threading.Lock()
        self._done_callbacks: list[Any] = []
        settle(self, error=error)


def settle(
    future: Future[Any], *, value: object = None, error: BaseException | None = None
) -> None:
    """Give a future its outcome, unless it has one, and survive whatever its callbacks raise."""
    try:
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
    except InvalidStateError:
        # It was cancelled or failed in this moment; the one who did it has been told so.
        return
    except BaseException:  # noqa: BLE001  # see below
        # `Future` itself logs an `Exception`. The thread that delivers results must not end.
        _log.exception("A callback of %r ended with more than an exception", future)


class FutureGroup:
    """What the futures of one executor have in common; they know it, and it does not know them."""

    def __init__(self) -> None:
        self.closed = False


class OpenFutures:
    """The futures whose outcome is not there yet, by task id. Thread-safe; never blocks."""

    def __init__(self) -> None:
        # Re-entrant, since garbage collection may drop a future while its table is at work.
        self._lock = threading.RLock()
        self._futures: dict[str, ClusterFuture[Any]] = {}
        self._failure: Callable[[], Exception] | None = None
        self._completing = 0

    def __len__(self) -> int:
        """Return how many are open, without the one that is being completed."""
        return len(self._futures) - self._completing

    def add(self, future: ClusterFuture[Any]) -> None:
        """Add a future, or raise the failure that has ended the table or closed its group."""
        with self._lock:
            if self._failure is not None:
                raise self._failure()
            if isinstance(future.group, FutureGroup) and future.group.closed:
                raise after_shutdown()
            self._futures[future.task_id] = future

    def pop(self, task_id: str) -> ClusterFuture[Any] | None:
        """Remove and return a future; ``None`` where it is not open (any more)."""
        with self._lock:
            return self._futures.pop(task_id, None)

    def of_group(self, group: object) -> list[ClusterFuture[Any]]:
        """Return the futures of a group that were made in this process, not one forked from."""
        pid = os.getpid()
        with self._lock:
            futures = list(self._futures.values())
        return [future for future in futures if future.group is group and future.pid == pid]

    def close_group(self, group: FutureGroup) -> list[ClusterFuture[Any]]:
        """Let no more futures into a group, and return those that are in it."""
        with self._lock:
            group.closed = True
            return self.of_group(group)

    def check(self) -> None:
        """Raise the failure that has ended the table, if any."""
        with self._lock:
            if self._failure is not None:
                raise self._failure()

    def is_open(self, task_id: str) -> bool:
        """Tell whether a task's outcome is still waited for."""
        future = self._futures.get(task_id)
        return future is not None and not future.done()

    def resolve(self, task_id: str, outcome: bytes | memoryview | LargeOutcome) -> None:
        """Give a future its outcome; one that is not open was delivered already."""
        future = self._futures.get(task_id)
        if future is None:
            return
        # It stays in the table until it is done, so that a fork in between finds it there.
        self._completing = 1
        try:
            if not future.done():
                succeeded, value = outcomes.load(outcome)
                if succeeded:
                    settle(future, value=value)
                else:
                    settle(future, error=value)
        finally:
            self.pop(task_id)
            self._completing = 0

    def fail_all(self, failure: Callable[[], Exception]) -> list[str]:
        """Fail all open futures, and those added later; returns the ids.

        Parameters
        ----------
        failure
            Makes the exception: each future gets one of its own, since a traceback is added to
            it when it is raised. The first failure stays.
        """
        futures = self._end(failure)
        for future in futures:
            settle(future, error=failure())
        return [future.task_id for future in futures]

    def give_up(self, failure: Callable[[], Exception], refusal: Callable[[], Exception]) -> None:
        """Fail all open futures without calling back, and refuse those added later."""
        for future in self._end(refusal):
            future.give_up(failure())

    @property
    def ended(self) -> bool:
        """Whether futures are refused."""
        return self._failure is not None

    def after_fork(self) -> OpenFutures:
        """Return the table for a forked child, and fail the futures that are the parent's."""
        # Another thread of the parent may hold the lock for ever.
        for future in list(self._futures.values()):
            future.give_up(_of_the_parent())
        table = OpenFutures()
        table._failure = self._failure
        return table

    def _end(self, failure: Callable[[], Exception]) -> list[ClusterFuture[Any]]:
        with self._lock:
            if self._failure is None:
                self._failure = failure
            futures, self._futures = self._futures, {}
        return list(futures.values())


def after_shutdown() -> RuntimeError:
    """Return the error for a call that an executor takes no more; the words are Python's own."""
    return RuntimeError("cannot schedule new futures after shutdown")


def after_exit() -> RuntimeError:
    """Return the error for a call at the end of the interpreter; the words are Python's own."""
    return RuntimeError("cannot schedule new futures after interpreter shutdown")


def _of_the_parent() -> BrokenClusterError:
    return BrokenClusterError(
        "This task was submitted before this process was forked, so its result comes to the parent "
        "process. Wait for it there, or submit it again here."
    )
