"""What a client has in one process: its connections, its threads and its name."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
import weakref
from functools import partial
from typing import Any

from dockerparallel import Endpoint
from dockerparallel_redis_queue_container.blob_link import BlobLink
from dockerparallel_redis_queue_container.blob_sender import BlobSender
from dockerparallel_redis_queue_container.collector import Collector
from dockerparallel_redis_queue_container.connection import connect
from dockerparallel_redis_queue_container.errors import CodeShippingError, JobInUseError
from dockerparallel_redis_queue_container.farewell import abandon, closed, interrupt, leave
from dockerparallel_redis_queue_container.futures import Canceller, ClusterFuture, OpenFutures
from dockerparallel_redis_queue_container.inbox import JobInbox, SessionInbox
from dockerparallel_redis_queue_container.jobs import JobBook, JobRequest
from dockerparallel_redis_queue_container.outcome_store import OutcomeStore
from dockerparallel_redis_queue_container.process_origin import has_ended, this_process
from dockerparallel_redis_queue_container.records import MOST_PAYLOAD, Task
from dockerparallel_redis_queue_container.sender import Sender
from dockerparallel_redis_queue_container.serialization import Packed, TaskPickler
from dockerparallel_redis_queue_container.settings import QueueSettings
from dockerparallel_redis_queue_container.stats import Speedometer
from dockerparallel_redis_queue_container.task_queue import TaskQueue

_LEAVE_TIMEOUT = 2.0
# More than the collector's commands block.
_LEAST_WAIT = 1.5


class ClientSession(Canceller):
    """The part of :class:`QueueClient` that is set up anew in a forked child.

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
            self._announce()
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
            OutcomeStore(inbox.queue, BlobLink(self._endpoint, self._password, timeout)),
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

    def _announce(self) -> None:
        others = self._queue.announce_client(self._session, this_process())
        for session, origin in others.items():
            if has_ended(origin):
                # Nobody can fetch what its tasks would give, and ours wait behind them.
                self._queue.forget_client(session)

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


def _check_size(size: int) -> None:
    if size > MOST_PAYLOAD:
        raise CodeShippingError(
            f"The task takes {size} bytes, and the server takes at most {MOST_PAYLOAD}: "
            "pass less data, or the path of a file or the address of a store that workers can read."
        )


def _after_fork_in_child() -> None:
    for client in list(_present):
        client._after_fork()  # noqa: SLF001  # of this module


_present: weakref.WeakSet[ClientSession] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
