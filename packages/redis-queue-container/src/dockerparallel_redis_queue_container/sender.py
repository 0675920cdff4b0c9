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

from redis.exceptions import OutOfMemoryError

from dockerparallel import BrokenClusterError
from dockerparallel_redis_queue_container.errors import QueueFullError
from dockerparallel_redis_queue_container.futures import ClusterFuture, OpenFutures, settle
from dockerparallel_redis_queue_container.outbox import Outbox
from dockerparallel_redis_queue_container.patience import Patience, queue_full
from dockerparallel_redis_queue_container.records import Task
from dockerparallel_redis_queue_container.task_queue import TaskQueue

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
    memory_timeout
        Seconds that a request waits for room where the memory of the server is full.
    """

    queue: TaskQueue
    client: str
    futures: OpenFutures
    server_timeout: float
    memory_timeout: float = 120.0
    submitted: int = 0
    collector_thread: threading.Thread | None = None
    _outbox: Outbox = field(default_factory=Outbox)
    # When those may send who wait for it: once so many are settled. Then they go first, so that
    # others who submit without a pause do not keep them waiting for ever.
    _turns: list[int] = field(default_factory=list)
    # What is to be done, and when: once so many are settled.
    _later: deque[tuple[int, Callable[[], None]]] = field(default_factory=deque)
    _busy: bool = False
    _busy_thread: int = 0
    _last: float = 0.0
    _round_trip: float = 0.0
    _number: int = 0
    _on_its_way: list[Task] = field(default_factory=list)
    _waits_for_memory: bool = False
    _telling: bool = False
    _closed: bool = False
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        # Re-entrant, since garbage collection may stop a cluster while its own client is at work.
        self._changed = threading.Condition(threading.RLock())
        self._patience = Patience(
            self.futures, self.server_timeout, self.memory_timeout, self._must_not_wait
        )

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
            beside = not wait or in_a_row or len(self.futures) > 1 or self._must_not_wait()
            keep = beside or self._busy or self._outbox or self._turns
            wakes = False
            if keep:
                wakes = self._keep(task)
            else:
                self._take_on([task])
        if keep:
            if wakes and wait:
                # Else it would wait for the interpreter until this thread has used up its time.
                time.sleep(0)
            self._last = time.perf_counter()
            return
        began = time.perf_counter()
        try:
            self._transmit()
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
        QueueFullError
            The memory of the server was full, for ``memory_timeout``.
        BlobsMissingError
            The server does not have the blobs of a task.
        """
        with self._changed:
            # The own thread sends what is kept, and cannot wait for itself.
            turn = 0 if threading.current_thread() is self._thread else self._outbox.kept_ever
            self._turns.append(turn)
            try:
                self._changed.wait_for(
                    lambda: (
                        self._would_wait()
                        or (not self._busy and (self._closed or self._outbox.settled >= turn))
                    )
                )
            except BaseException:
                # An interrupt: the next one may go.
                self._changed.notify_all()
                raise
            finally:
                self._turns.remove(turn)
            if self._would_wait():
                raise queue_full(0.0)
            self._take_on(tasks)
        try:
            self._transmit()
        finally:
            self._release()

    def withdraw(self, task_ids: Sequence[str]) -> set[str]:
        """Drop those of the tasks that the server does not have; returns their ids.

        Waits until those that are on their way are sent, or have failed, but not in a finalizer
        that runs in the thread that sends them.
        """
        wanted = set(task_ids)
        with self._changed:
            own = threading.current_thread() is self._thread
            if not own and self._busy_thread != threading.get_ident():
                self._changed.wait_for(
                    lambda: (
                        self._closed
                        or self._waits_for_memory
                        or not any(task.task_id in wanted for task in self._on_its_way)
                    )
                )
            before = [*self._outbox.tasks, *self._on_its_way]
            self._outbox.withdraw(wanted)
            if self._waits_for_memory:
                # The server has refused them as they are, and is asked again later.
                self._on_its_way = [task for task in self._on_its_way if task.task_id not in wanted]
            left = {task.task_id for task in (*self._outbox.tasks, *self._on_its_way)}
            self._changed.notify_all()
        return {task.task_id for task in before} - left

    def do_later(self, job: Callable[[], None]) -> None:
        """Have the sender's thread do something once the tasks kept before are sent.

        Returns at once, and so may be called in a finalizer, whatever this thread is at.
        """
        with self._changed:
            if not self._closed:
                self._later.append((self._outbox.kept_ever, job))
                self._changed.notify_all()

    def close(self) -> None:
        """Drop what is not sent, and end the thread; idempotent, does not wait."""
        with self._changed:
            self._closed = True
            self._outbox.take_all()
            self._changed.notify_all()

    def insist(self, request: Callable[[], _T]) -> _T:
        """Repeat a request; see :meth:`Patience.insist`."""
        return self._patience.insist(request)

    # -----------------------------------------------------------------------------------------

    def _must_not_wait(self) -> bool:
        """Tell whether a callback of a future asks: results free memory, and it holds them up."""
        thread = threading.current_thread()
        return thread is self.collector_thread or (self._telling and thread is self._thread)

    def _would_wait(self) -> bool:
        return self._waits_for_memory and self._must_not_wait()

    def _keep(self, task: Task) -> bool:
        """Keep a task for the own thread; returns whether that was waiting for one."""
        while self._outbox.is_full and not self._closed:
            if self._must_not_wait():
                break
            self._changed.wait()
        if self._closed:
            self.futures.check()
        wakes = not self._outbox and not self._busy
        self._outbox.keep(task)
        if wakes:
            self._changed.notify_all()
        return wakes

    def _take_on(self, tasks: Sequence[Task]) -> None:
        self._busy, self._on_its_way = True, list(tasks)
        self._busy_thread = threading.get_ident()

    def _release(self, sent: int = 0) -> None:
        with self._changed:
            self._busy, self._busy_thread = False, 0
            self._outbox.settled += sent
            # A thread that is woken for nothing costs a lone task some of its time.
            if sent or self._outbox or self._turns:
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
                    batch = self._outbox.take_portion()
                    self._take_on(batch)
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
        due = bool(self._later) and self._later[0][0] <= self._outbox.settled
        return self._closed or due or self._may_send()

    def _may_send(self) -> bool:
        others_first = bool(self._turns) and min(self._turns) <= self._outbox.settled
        return bool(self._outbox) and not self._busy and not others_first

    def _due_jobs(self) -> list[Callable[[], None]]:
        jobs = []
        while self._later and self._later[0][0] <= self._outbox.settled:
            jobs.append(self._later.popleft()[1])
        return jobs

    def _send_batch(self, batch: list[Task]) -> None:
        failure: Exception | None = None
        try:
            self._transmit()
        except Exception as error:  # noqa: BLE001  # it belongs to the tasks
            failure = error
        if isinstance(failure, QueueFullError):
            # The rest would wait as long, one portion after the other.
            with self._changed:
                batch += self._outbox.take_all()
        self._release(len(batch))
        if failure is not None:
            self._telling = True
            self._fail(batch, failure)
            self._telling = False

    def _transmit(self) -> None:
        number = self._number + 1
        try:
            taken = self.insist(lambda: self._request(number))
            if taken is None:
                return
            if taken:
                self._number = self.submitted = number
                return
        except BrokenClusterError:
            # Nobody knows whether the server has taken it: the number must not be used again.
            self._number = number
            raise
        finally:
            with self._changed:
                self._on_its_way, self._waits_for_memory = [], False
                if self._closed or self._later or self._turns:
                    self._changed.notify_all()
        self.futures.check()
        raise BrokenClusterError(
            "The server of the cluster was restarted or emptied, and has lost what it knew of this "
            "client. Call cluster.register_backend() to go on with it."
        )

    def _request(self, number: int) -> bool | None:
        """Submit what is on its way; returns ``None`` where all of it was withdrawn."""
        with self._changed:
            self._waits_for_memory = False
            if not self._on_its_way:
                return None
        try:
            return self.queue.submit(self.client, number, self._on_its_way)
        except OutOfMemoryError:
            with self._changed:
                self._waits_for_memory = True
                self._changed.notify_all()
            raise

    def _fail(self, batch: Sequence[Task], error: Exception) -> None:
        for task in batch:
            future: ClusterFuture[Any] | None = self.futures.pop(task.task_id)
            if future is None:
                continue
            # Each has one of its own, since a traceback is added to it when it is raised.
            settle(future, error=copy.copy(error))
