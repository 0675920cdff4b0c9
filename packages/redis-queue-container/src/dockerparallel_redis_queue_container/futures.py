"""Futures of tasks on the cluster, and the table of those that are still open."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any, Protocol, TypeVar

from dockerparallel_redis_queue_container import outcomes
from dockerparallel_redis_queue_container.keys import number_of

_T = TypeVar("_T")


class Canceller(Protocol):
    """The part of the client that a future needs: questions to the server about its task."""

    def cancel(self, task_ids: Sequence[str]) -> list[bool]:
        """Cancel tasks that have not begun; tell of each whether it will never run."""

    def is_running(self, task_id: str) -> bool:
        """Tell whether a worker runs the task now."""


class ClusterFuture(Future[_T]):
    """The future of one task; made by the client only.

    A complete :class:`concurrent.futures.Future`: :meth:`cancel` and :meth:`running` ask the
    server, and so take a round trip, bounded by the client's server timeout. It keeps the
    connection to the queue alive, not the cluster.
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
        """Cancel the task if no worker has begun it.

        Returns
        -------
        bool
            Whether the task is cancelled; ``False`` where it runs, is done, or the server cannot
            be asked.
        """
        if self.done():
            return self.cancelled()
        [cancelled] = self._canceller.cancel([self.task_id])
        if cancelled:
            self.mark_cancelled()
        return self.cancelled()

    def mark_cancelled(self) -> None:
        """Record that the server has cancelled the task, and tell those who wait."""
        if super().cancel():
            self.set_running_or_notify_cancel()

    def running(self) -> bool:
        """Return whether a worker runs the task at this moment."""
        return not self.done() and self._canceller.is_running(self.task_id)


class OpenFutures:
    """The futures whose outcome is not there yet, by task id. Thread-safe; never blocks."""

    def __init__(self) -> None:
        # Re-entrant for the same reason.
        self._lock = threading.RLock()
        self._futures: dict[str, ClusterFuture[Any]] = {}
        self._failure: Callable[[], Exception] | None = None

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._futures)

    def add(self, future: ClusterFuture[Any]) -> None:
        """Add a future, or raise the failure that has ended the table."""
        with self._lock:
            if self._failure is not None:
                raise self._failure()
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

    def check(self) -> None:
        """Raise the failure that has ended the table, if any."""
        with self._lock:
            if self._failure is not None:
                raise self._failure()

    def resolve(self, task_id: str, outcome: bytes | memoryview) -> None:
        """Give a future its outcome; one that is not open was delivered already."""
        future = self.pop(task_id)
        if future is None or future.done():
            return
        succeeded, value = outcomes.load(outcome)
        try:
            if succeeded:
                future.set_result(value)
            else:
                future.set_exception(value)
        except InvalidStateError:
            # It was cancelled in this moment; the one who cancelled it has been told so.
            return

    def fail_all(self, failure: Callable[[], Exception]) -> list[str]:
        """Fail all open futures, and those added later; returns the ids.

        Parameters
        ----------
        failure
            Makes the exception: each future gets one of its own, since a traceback is added to
            it when it is raised. The first failure stays.
        """
        with self._lock:
            if self._failure is None:
                self._failure = failure
            futures, self._futures = self._futures, {}
        for future in futures.values():
            try:
                future.set_exception(failure())
            except InvalidStateError:
                # Done or cancelled in this moment: it has its outcome.
                continue
        return list(futures)
