"""Sends the tasks of a client: a lone one at once, those that come beside others together."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from redis.exceptions import OutOfMemoryError, RedisError

from dockerparallel import BackendError, BrokenClusterError
from dockerparallel_redis_queue_container.collector import server_lost
from dockerparallel_redis_queue_container.connection import CONNECTION_FAILURES
from dockerparallel_redis_queue_container.futures import ClusterFuture, OpenFutures, settle
from dockerparallel_redis_queue_container.records import Task
from dockerparallel_redis_queue_container.task_queue import TaskQueue

_PAUSE = 0.05
_MOST_TASKS = 500
_MOST_BYTES = 4 * 1024 * 1024
_MOST_KEPT_BYTES = 16 * 1024 * 1024

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


@dataclass
class Sender:
    """Submits tasks to the queue, one script call at a time. Thread-safe.

    A task that comes alone (no other of the client is open, nor was one submitted just before) is
    sent by the thread that submits it: its round trip has no change of threads in it, and an error
    of the server is raised there. Others are kept for the sender's own thread, which sends at once
    all that there is, in one call; an error then belongs to the futures. It holds no client, so a
    client can be dropped.

    Parameters
    ----------
    queue
        The queue; its connection may be shared.
    client
        The id of the client.
    futures
        Where futures of tasks that cannot be sent are failed.
    server_timeout
        Seconds without an answer after which the server counts as gone.
    """

    queue: TaskQueue
    client: str
    futures: OpenFutures
    server_timeout: float
    _kept: list[Task] = field(default_factory=list)
    _kept_bytes: int = 0
    # How many tasks were ever kept, and how many of these were sent or have failed.
    _kept_ever: int = 0
    _sent_ever: int = 0
    # When those may send who wait for it: once so many have been sent. Then they go first, so that
    # others who submit without a pause do not keep them waiting for ever.
    _turns: list[int] = field(default_factory=list)
    # What is to be done, and when: once so many have been sent.
    _later: deque[tuple[int, Callable[[], None]]] = field(default_factory=deque)
    _busy: bool = False
    _last: float = 0.0
    _round_trip: float = 0.0
    _number: int = 0
    _closed: bool = False
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        # Re-entrant, since garbage collection may stop a cluster while its own client is at work.
        self._changed = threading.Condition(threading.RLock())

    def start(self) -> None:
        """Start the thread: early, since at the end of an interpreter no thread can be started."""
        self._thread = threading.Thread(target=self._run, name="dockerparallel-sender", daemon=True)
        self._thread.start()

    def send(self, task: Task, *, wait: bool = True) -> None:
        """Send one task, now or with others.

        Parameters
        ----------
        task
            The task.
        wait
            Whether it may be sent by this thread, which then waits for the server.

        Raises
        ------
        BrokenClusterError, BackendError
            The task was sent at once, and the server is gone or refused it.
        """
        with self._changed:
            # Its own future is among the open ones. A caller that comes back sooner than the server
            # answers waits for no result, also where the results are there already.
            in_a_row = time.perf_counter() - self._last < self._round_trip
            others = not wait or in_a_row or len(self.futures) > 1
            if others or self._busy or self._kept or self._turns:
                self._keep(task)
                self._last = time.perf_counter()
                return
            self._busy = True
        began = time.perf_counter()
        try:
            self._transmit([task])
        finally:
            self._release()
            self._last = time.perf_counter()
            self._round_trip = self._last - began

    def send_all(self, tasks: Sequence[Task]) -> None:
        """Send tasks in one call, after all that came before, and wait until they are sent.

        Raises
        ------
        BrokenClusterError, BackendError
            The server is gone, or refused them.
        BlobsMissingError
            The server does not have the blobs of a task.
        """
        with self._changed:
            # The own thread sends what is kept, and cannot wait for itself.
            turn = 0 if self._is_own_thread() else self._kept_ever
            self._turns.append(turn)
            try:
                self._changed.wait_for(
                    lambda: not self._busy and (self._closed or self._sent_ever >= turn)
                )
            except BaseException:
                # An interrupt: the next one may go.
                self._changed.notify_all()
                raise
            finally:
                self._turns.remove(turn)
            self._busy = True
        try:
            self._transmit(tasks)
        finally:
            self._release()

    def drain(self) -> None:
        """Wait until all tasks that were kept before are sent, or have failed."""
        if self._is_own_thread():
            return
        with self._changed:
            number = self._kept_ever
            self._changed.wait_for(lambda: self._closed or self._sent_ever >= number)

    def do_later(self, job: Callable[[], None]) -> None:
        """Have the sender's thread do something once the tasks kept before are sent.

        Returns at once, and so may be called in a finalizer, whatever this thread is at.
        """
        with self._changed:
            if not self._closed:
                self._later.append((self._kept_ever, job))
                self._changed.notify_all()

    def close(self) -> None:
        """Drop what is not sent, and end the thread; idempotent, does not wait."""
        with self._changed:
            self._closed = True
            self._kept = []
            self._changed.notify_all()

    def insist(self, request: Callable[[], _T]) -> _T:
        """Repeat a request while the connection fails, as long as the server may be silent.

        Raises
        ------
        BrokenClusterError
            The server is gone, or the futures have failed.
        BackendError
            The server refused the request.
        """
        started = time.monotonic()
        while True:
            try:
                return request()
            except CONNECTION_FAILURES as error:
                self.futures.check()
                waited = time.monotonic() - started
                if waited >= self.server_timeout:
                    raise server_lost(error, waited) from error
            except OutOfMemoryError as error:
                raise BackendError(
                    f"The memory of the cluster's server is full ({error}): wait for results "
                    "before submitting more, or start the cluster with more server_memory."
                ) from error
            except RedisError as error:
                raise BackendError(f"The cluster's server refused the request: {error}") from error
            time.sleep(_PAUSE)

    # -----------------------------------------------------------------------------------------

    def _is_own_thread(self) -> bool:
        """Tell whether a callback of a failed future asks, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def _keep(self, task: Task) -> None:
        while self._kept_bytes > _MOST_KEPT_BYTES and not self._closed:
            if self._is_own_thread():
                break
            self._changed.wait()
        if self._closed:
            self.futures.check()
        self._kept.append(task)
        self._kept_ever += 1
        self._kept_bytes += len(task.payload)
        if len(self._kept) == 1 and not self._busy:
            self._changed.notify_all()

    def _release(self, sent: int = 0) -> None:
        with self._changed:
            self._busy = False
            self._sent_ever += sent
            # A thread that is woken for nothing costs a lone task some of its time.
            if sent or self._kept or self._turns:
                self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._closed:
                    return
                jobs = self._due_jobs()
                batch: list[Task] = []
                if self._may_send():
                    batch, self._busy = self._next_batch(), True
            if batch:
                self._send_batch(batch)
            while jobs:
                try:
                    jobs.pop(0)()
                except Exception:  # noqa: BLE001  # see below
                    # A fault of ours must not keep what is to be sent.
                    _log.exception("What was to be done after sending has failed")
            # It may be long until the next.
            del batch

    def _has_work(self) -> bool:
        due = bool(self._later) and self._later[0][0] <= self._sent_ever
        return self._closed or due or self._may_send()

    def _may_send(self) -> bool:
        others_first = bool(self._turns) and min(self._turns) <= self._sent_ever
        return bool(self._kept) and not self._busy and not others_first

    def _due_jobs(self) -> list[Callable[[], None]]:
        jobs = []
        while self._later and self._later[0][0] <= self._sent_ever:
            jobs.append(self._later.popleft()[1])
        return jobs

    def _send_batch(self, batch: Sequence[Task]) -> None:
        try:
            self._transmit(batch)
        except Exception as error:  # noqa: BLE001  # it belongs to the tasks
            self._release(len(batch))
            self._fail(batch, error)
        else:
            self._release(len(batch))

    def _next_batch(self) -> list[Task]:
        room, count = _MOST_BYTES, 0
        for task in self._kept[:_MOST_TASKS]:
            if count and len(task.payload) > room:
                break
            room -= len(task.payload)
            count += 1
        batch, self._kept = self._kept[:count], self._kept[count:]
        self._kept_bytes -= sum(len(task.payload) for task in batch)
        return batch

    def _transmit(self, batch: Sequence[Task]) -> None:
        self._number += 1
        number = self._number
        if not self.insist(lambda: self.queue.submit(self.client, number, batch)):
            self.futures.check()
            raise BrokenClusterError(
                "The server of the cluster was restarted or emptied, and does not know this "
                "client any more. Call cluster.register_backend() to go on with it."
            )

    def _fail(self, batch: Sequence[Task], error: Exception) -> None:
        for task in batch:
            future: ClusterFuture[Any] | None = self.futures.pop(task.task_id)
            if future is None:
                continue
            # Each has one of its own, since a traceback is added to it when it is raised.
            settle(future, error=copy.copy(error))
