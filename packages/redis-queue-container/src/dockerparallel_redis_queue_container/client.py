"""The client's end of the queue: sends tasks, hands out futures, gets the outcomes."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from redis.exceptions import RedisError

from dockerparallel import BackendError
from dockerparallel_redis_queue_container.futures import ClusterFuture, FutureGroup
from dockerparallel_redis_queue_container.records import Cancelled, Task
from dockerparallel_redis_queue_container.session import ClientSession

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

# A caller that comes back sooner has not edited a file meanwhile.
_QUICK_SECONDS = 100e-6
_MOST_AT_ONCE = 4 * 1024 * 1024
_MOST_TASKS_AT_ONCE = 500
_SLOW_SECONDS = 0.005
# How long to wait for a task that a worker holds and has not begun, and between two questions.
_DECISION_SECONDS = 0.1
_LOOK_SECONDS = 0.005

_T = TypeVar("_T")


class QueueClient(ClientSession):
    """One process's connection to the queue of a cluster. Thread-safe.

    Made by the registration of the backend and shared by all executors of a cluster. It knows
    nothing of the cluster. In a forked child it starts afresh at the first submission: results
    of the parent's tasks go to the parent. See :class:`ClientSession` for the parameters.
    """

    def submit(self, function: Callable[..., _T], *args: Any, **kwargs: Any) -> ClusterFuture[_T]:
        """Send one call to the workers; returns its future; see :meth:`submit_call`."""
        return self.submit_call(function, args, kwargs)

    def submit_call(
        self,
        function: Callable[..., _T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        group: object = None,
        *,
        wait: bool = True,
        in_a_row: bool = False,
    ) -> ClusterFuture[_T]:
        """Send one call to the workers; returns its future.

        Blocks for one round trip where no other call of this client is open. What is submitted
        beside others is sent by another thread, together with what came meanwhile, and where the
        server does not take it, its future fails.

        Parameters
        ----------
        function, args, kwargs
            The call.
        group
            What :meth:`open_futures` finds the future by.
        wait
            Whether a call that comes alone waits for the server to take it, and raises its error.
        in_a_row
            Whether it belongs to the call before it, so that files edited in between need not be
            looked for; calls that come at once after another are taken for such in any case.

        Raises
        ------
        BrokenClusterError
            The cluster is gone, or this client was closed.
        CodeShippingError
            The call, or the code that it needs, is too big to be sent.
        QueueFullError
            The memory of the server was full for ``memory_timeout``.
        BackendError
            The server refused the call.
        Exception
            Whatever pickling the call raises.
        """
        self._check_process()
        in_a_row = in_a_row or time.perf_counter() - self._last_submit < _QUICK_SECONDS
        packed = self._pickler.pack(function, args, kwargs, in_a_row=in_a_row)
        future: ClusterFuture[_T] = self._new_future(group)
        try:
            task = self._task(future, packed)
            if packed.blobs:
                self._blobs.send(task, packed.blobs)
            else:
                self._sender.send(task, wait=wait)
        except BaseException:
            self._take_back([future])
            raise
        self._last_submit = time.perf_counter()
        return future

    def submit_many(self, calls: Iterable[Call], group: object = None) -> list[ClusterFuture[Any]]:
        """Send several calls in as few round trips as their size allows; see :meth:`submit`.

        All or nothing: where one fails to be sent, those sent before are cancelled.
        """
        self._check_process()
        futures: list[ClusterFuture[Any]] = []
        batch: list[Task] = []
        room = _MOST_AT_ONCE
        sent = time.monotonic()
        try:
            for function, args, kwargs in calls:
                self._futures.check()
                packed = self._pickler.pack(function, args, kwargs, in_a_row=bool(futures))
                future = self._new_future(group)
                futures.append(future)
                task = self._task(future, packed)
                if packed.blobs:
                    self._blobs.send(task, packed.blobs)
                    continue
                batch.append(task)
                room -= len(task.payload)
                full = room <= 0 or len(batch) >= _MOST_TASKS_AT_ONCE
                # Where the calls come slowly, the workers begin meanwhile.
                if full or time.monotonic() - sent > _SLOW_SECONDS:
                    self._sender.send_all(batch)
                    batch, room, sent = [], _MOST_AT_ONCE, time.monotonic()
            if batch:
                self._sender.send_all(batch)
        except BaseException:
            self._take_back(futures)
            raise
        return futures

    def cancel_futures(self, futures: Iterable[ClusterFuture[Any]]) -> None:
        """Cancel those of the futures whose task has not begun; none where the server is gone.

        Takes one round trip, but for tasks that wait at a worker behind another: these it waits
        for, a tenth of a second at most, and not in a callback.
        """
        candidates = [future for future in futures if not future.done()]
        if not candidates or os.getpid() != self._pid:
            return
        deadline = time.monotonic() + _DECISION_SECONDS
        withdrawn = self._sender.withdraw([future.task_id for future in candidates])
        for future in candidates:
            if future.task_id in withdrawn:
                self._settle_cancelled(future)
        candidates = [future for future in candidates if future.task_id not in withdrawn]
        while candidates:
            replies = self._try_cancel([future.task_id for future in candidates])
            undecided = []
            for future, reply in zip(candidates, replies, strict=True):
                if reply is Cancelled.YES:
                    self._settle_cancelled(future)
                elif reply is Cancelled.NOT_YET:
                    undecided.append(future)
            if not undecided or self._collector.is_own_thread() or time.monotonic() > deadline:
                return
            time.sleep(_LOOK_SECONDS)
            candidates = [future for future in undecided if not future.done()]

    def cancel_later(self, futures: Iterable[ClusterFuture[Any]]) -> None:
        """Have futures cancelled by the sender's thread, and return; safe in a finalizer."""
        if os.getpid() == self._pid:
            waiting = list(futures)
            self._sender.do_later(lambda: self.cancel_futures(waiting))

    def drop_futures(self, futures: Sequence[ClusterFuture[Any]]) -> None:
        """Cancel the futures, and end the tasks of those that a worker has begun.

        Does not wait for that: it takes the workers about a second, and a future whose task
        was ended fails with ``CancelledError``.
        """
        self.cancel_futures(futures)
        begun = [future.task_id for future in futures if not future.done()]
        if begun:
            # Where the server is gone, so is the task, and the collector fails the futures.
            with suppress(RedisError, OSError):
                self._queue.drop(begun)

    def open_futures(self, group: object) -> list[ClusterFuture[Any]]:
        """Return the futures of a group that are not done, and were made in this process."""
        return self._futures.of_group(group)

    def close_group(self, group: FutureGroup) -> list[ClusterFuture[Any]]:
        """Let no more futures into a group, and return those that are open."""
        return self._futures.close_group(group)

    def is_running(self, task_id: str) -> bool:
        """Tell whether a worker runs the task now; ``False`` where the server is gone."""
        try:
            return os.getpid() == self._pid and self._queue.is_running(task_id)
        except (RedisError, OSError):
            # The collector notices the same, and fails the futures if the server stays away.
            return False

    def wait_for_callbacks(self) -> None:
        """Return when the callbacks of futures that are done have returned."""
        self._collector.wait_for_callbacks()

    @property
    def in_callback(self) -> bool:
        """Whether the collector asks, in a callback: there no result can be waited for."""
        return self._collector.is_own_thread()

    # -----------------------------------------------------------------------------------------

    def _try_cancel(self, task_ids: Sequence[str]) -> list[Cancelled]:
        token = secrets.token_hex(8)
        try:
            return self._sender.insist(lambda: self._queue.try_cancel(task_ids, token))
        except BackendError:
            # The server is gone, and the futures fail; or it has refused.
            return [Cancelled.NO] * len(task_ids)

    def _settle_cancelled(self, future: ClusterFuture[Any]) -> None:
        future.mark_cancelled()
        self._futures.pop(future.task_id)

    def _take_back(self, futures: Sequence[ClusterFuture[Any]]) -> None:
        self.cancel_futures(futures)
        for future in futures:
            self._futures.pop(future.task_id)
