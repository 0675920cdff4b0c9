"""The client's end of the queue: sends tasks, hands out futures, gets the outcomes."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from redis.exceptions import RedisError

from dockerparallel import BackendError, Endpoint
from dockerparallel_redis_queue_container.blob_sender import BlobSender
from dockerparallel_redis_queue_container.collector import Collector
from dockerparallel_redis_queue_container.connection import connect
from dockerparallel_redis_queue_container.errors import CodeShippingError, JobInUseError
from dockerparallel_redis_queue_container.farewell import abandon, closed, interrupt, leave
from dockerparallel_redis_queue_container.futures import (
    ClusterFuture,
    FutureGroup,
    OpenFutures,
)
from dockerparallel_redis_queue_container.inbox import JobInbox, SessionInbox
from dockerparallel_redis_queue_container.jobs import JobBook, JobRequest
from dockerparallel_redis_queue_container.records import MOST_PAYLOAD, Cancelled, Task
from dockerparallel_redis_queue_container.sender import Sender
from dockerparallel_redis_queue_container.serialization import Packed, TaskPickler
from dockerparallel_redis_queue_container.settings import QueueSettings
from dockerparallel_redis_queue_container.stats import Speedometer
from dockerparallel_redis_queue_container.task_queue import TaskQueue

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_LEAVE_TIMEOUT = 2.0
# A caller that comes back sooner has not edited a file meanwhile.
_QUICK_SECONDS = 100e-6
# More than the collector's commands block.
_LEAST_WAIT = 1.5
_MOST_AT_ONCE = 4 * 1024 * 1024
_MOST_TASKS_AT_ONCE = 500
_SLOW_SECONDS = 0.005
# How long to wait for a task that a worker holds and has not begun, and between two questions.
_DECISION_SECONDS = 0.1
_LOOK_SECONDS = 0.005

_T = TypeVar("_T")


class QueueClient:
    """One process's connection to the queue of a cluster. Thread-safe.

    Made by the registration of the backend and shared by all executors of a cluster. It knows
    nothing of the cluster. In a forked child it starts afresh at the first submission: results
    of the parent's tasks go to the parent.

    Parameters
    ----------
    endpoint
        Where the server answers; it has been seen to.
    password
        The server's password.
    job_queue_name
        The name of the queue.
    settings
        Times and limits of the queue.
    server_timeout
        Seconds without an answer of the server after which the cluster counts as gone.
    memory_timeout
        Seconds that a submission waits for room where the memory of the server is full.
    job
        The named job that this client holds; by default none, and its tasks end with it.

    Raises
    ------
    redis.RedisError
        The server does not take the announcement of this client.
    JobError
        The job cannot be had.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        password: str,
        job_queue_name: str,
        settings: QueueSettings,
        server_timeout: float,
        memory_timeout: float = 120.0,
        job: JobRequest | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._password = password
        self._job_queue_name = job_queue_name
        self._settings = settings
        self.server_timeout = server_timeout
        self._memory_timeout = memory_timeout
        self.job = job
        self._last_submit = 0.0
        self.speedometer = Speedometer()
        self._closed = False
        self._futures = OpenFutures()
        self._setting_up = threading.Lock()
        self._set_up()
        _present.add(self)

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
        quick = time.perf_counter() - self._last_submit < _QUICK_SECONDS
        in_a_row = quick or len(self._futures) > 0
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
                future.mark_cancelled()
                self._futures.pop(future.task_id)
        candidates = [future for future in candidates if future.task_id not in withdrawn]
        while candidates:
            replies = self._try_cancel([future.task_id for future in candidates])
            undecided = []
            for future, reply in zip(candidates, replies, strict=True):
                if reply is Cancelled.YES:
                    future.mark_cancelled()
                    self._futures.pop(future.task_id)
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

    @property
    def queue(self) -> TaskQueue:
        """The queue itself, for questions about workers and numbers."""
        return self._queue

    @property
    def job_book(self) -> JobBook:
        """The named jobs of the queue."""
        return JobBook(self._queue)

    @property
    def broken(self) -> bool:
        """Whether this client is closed or its server gone; it then stays so."""
        return self._futures.ended

    def close(self) -> None:
        """Fail the futures still open, cancel their tasks, and close the connections.

        Where the client holds a job, its tasks go on, and it can be attached to again. Called when
        the backend is deregistered. Idempotent; waits for the server two seconds at
        most, and not at all where it is known to be gone.
        """
        broken = self.broken
        self._closed = True
        if os.getpid() != self._pid:
            # All that it has belongs to the process that this one was forked from.
            return
        task_ids = self._futures.fail_all(closed)
        self._farewell.detach()
        self._sender.close()
        self._collector.close()
        leave(self._leaving, None if broken else task_ids)
        interrupt(self._queue, self._blobs)
        self._queue.close()
        self._blobs.close()

    # -----------------------------------------------------------------------------------------

    def _check_process(self) -> None:
        """Start afresh in a forked child."""
        if os.getpid() == self._pid:
            return
        if self.job is not None:
            raise JobInUseError(
                f"The parent process holds the job {self.job.name!r}: submit there, or use "
                "executor() without job= here, in the forked child."
            )
        with self._setting_up:
            if os.getpid() != self._pid:
                self._set_up()

    def _after_fork(self) -> None:
        self._futures = self._futures.after_fork()
        self._setting_up = threading.Lock()

    def _set_up(self) -> None:
        if self._closed:
            raise closed()
        pid = os.getpid()
        self._session = secrets.token_hex(8)
        self._futures = OpenFutures()
        # Early enough for a new connection, where the old one leads nowhere any more.
        timeout = min(self.server_timeout, max(self.server_timeout / 2, 1.0))
        self._queue = self._new_queue(timeout)
        self._pickler = TaskPickler(self._put_code)
        first = 0
        if self.job is None:
            self._queue.announce_client(self._session)
        else:
            first = self.job_book.attach(self.job, self._session)
        self._numbers = itertools.count(first)
        self._leaving = self._inbox_on(self._new_queue(_LEAVE_TIMEOUT))
        inbox = self._inbox_on(self._new_queue(max(self.server_timeout / 2, _LEAST_WAIT)))
        self._mailbox = inbox.mailbox
        sender = self._sender = Sender(
            self._queue, self._session, self._futures, self.server_timeout, self._memory_timeout
        )
        self._blobs = BlobSender(self._queue, sender, self._endpoint, self._password, timeout)
        self._collector = Collector(
            inbox.queue,
            inbox,
            self._futures,
            self.server_timeout,
            lambda: sender.submitted,
            partial(interrupt, self._queue, self._blobs),
        )
        self.attached_futures: dict[int, ClusterFuture[Any]] = {}
        if self.job is not None:
            numbers = self.job_book.numbers(self.job.name)
            self.attached_futures = {n: self._new_future(None, n) for n in numbers}
        self._collector.start()
        sender.collector_thread = self._collector.thread
        sender.start()
        # Where nobody closes it: a client that is dropped, or the end of the interpreter.
        self._farewell = weakref.finalize(
            self,
            abandon,
            *(self._sender, self._collector, self._futures, self._queue, self._leaving, pid),
        )
        # The last, since other threads of a forked child look at it.
        self._pid = pid

    def _inbox_on(self, queue: TaskQueue) -> SessionInbox | JobInbox:
        if self.job is None:
            return SessionInbox(queue, self._session)
        return JobInbox(queue, self._session, self.job.name)

    def _new_queue(self, timeout: float) -> TaskQueue:
        connection = connect(
            self._endpoint,
            self._password,
            timeout=timeout,
            connect_timeout=min(timeout, self.server_timeout),
        )
        return TaskQueue(connection, self._job_queue_name, self._settings)

    def _new_future(self, group: object, number: int | None = None) -> ClusterFuture[Any]:
        if number is None:
            number = next(self._numbers)
        future: ClusterFuture[Any] = ClusterFuture(
            f"{self._mailbox}.{number}", self, os.getpid(), group
        )
        self._futures.add(future)
        return future

    def _task(self, future: ClusterFuture[Any], packed: Packed) -> Task:
        _check_size(len(packed.payload))
        for data in packed.blobs.values():
            _check_size(memoryview(data).nbytes)
        return Task(future.task_id, packed.payload, " ".join(packed.blobs))

    def _put_code(self, digest: str, bundle: bytes) -> None:
        self._sender.insist(lambda: self._queue.put_code(digest, bundle))

    def _try_cancel(self, task_ids: Sequence[str]) -> list[Cancelled]:
        token = secrets.token_hex(8)
        try:
            return self._sender.insist(lambda: self._queue.try_cancel(task_ids, token))
        except BackendError:
            # The server is gone, and the futures fail; or it has refused.
            return [Cancelled.NO] * len(task_ids)

    def _take_back(self, futures: Sequence[ClusterFuture[Any]]) -> None:
        self.cancel_futures(futures)
        for future in futures:
            self._futures.pop(future.task_id)


def _check_size(size: int) -> None:
    if size > MOST_PAYLOAD:
        raise CodeShippingError(
            f"The task takes {size} bytes, and the server takes at most {MOST_PAYLOAD}: "
            "pass less data, or the path of a file or the address of a store that workers can read."
        )


def _after_fork_in_child() -> None:
    for client in list(_present):
        client._after_fork()  # noqa: SLF001  # of this module


_present: weakref.WeakSet[QueueClient] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
