"""One worker process: takes a task, runs it, hands in the outcome, until it is told to end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import joblib
from joblib.parallel import SequentialBackend
from redis.exceptions import RedisError

from dockerparallel import Endpoint
from dockerparallel_redis_queue_container import outcomes
from dockerparallel_redis_queue_container.begun_marker import BegunMarker
from dockerparallel_redis_queue_container.blob_link import BlobLink
from dockerparallel_redis_queue_container.connection import connect, persist
from dockerparallel_redis_queue_container.desk import Desk
from dockerparallel_redis_queue_container.errors import ResultError
from dockerparallel_redis_queue_container.held_tasks import HeldTasks
from dockerparallel_redis_queue_container.helper import BREAK_OFF
from dockerparallel_redis_queue_container.large_outcomes import LargeOutcome, size_of
from dockerparallel_redis_queue_container.log_tail import LogTail
from dockerparallel_redis_queue_container.logs import configure_logging
from dockerparallel_redis_queue_container.memory_limit import be_killed_first
from dockerparallel_redis_queue_container.module_loader import TaskLoader
from dockerparallel_redis_queue_container.outcome_store import OutcomeStore
from dockerparallel_redis_queue_container.records import MOST_PAYLOAD, Claim
from dockerparallel_redis_queue_container.settings import WorkerSettings
from dockerparallel_redis_queue_container.task_queue import TaskQueue

READY = b"r"
"""What a worker sends over its link to the supervisor once the server has answered it."""

SUPERVISED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
"""The signals that the supervisor handles; blocked in a new worker until it has its handlers."""

# A connection that leads nowhere any more is replaced by a new one after half a lease, within these
# bounds: more than a command blocks, and no longer than a network may stand still.
_LEAST_TIMEOUT = 2.0
_MOST_TIMEOUT = 10.0
_FIRST_PAUSE = 0.01
_PAUSE = 0.2

_log = logging.getLogger(__name__)


class Stopping(BaseException):
    """Raised in the main thread by a signal, so that the ``finally`` blocks of a task run."""


@dataclass(frozen=True)
class WorkerStart:
    """What a forked worker gets from its supervisor.

    Parameters
    ----------
    worker_id
        The id under which it takes tasks.
    link
        Its end of the link to the supervisor.
    folder
        Where it puts the code that clients ship.
    marker
        Where it notes which task it runs.
    log_tail
        What keeps the end of its log.
    """

    worker_id: str
    link: socket.socket
    folder: Path
    marker: BegunMarker
    log_tail: LogTail


def run_worker(start: WorkerStart, settings: WorkerSettings) -> int:
    """Be a worker until SIGTERM or the end of the supervisor; returns the exit code.

    Called in the main thread of the process that the supervisor has forked. Waits for the server
    as long as its supervisor does. SIGINT is left to the supervisor, which gets it as well.
    """
    start.log_tail.keep_output()
    configure_logging(start.worker_id)
    be_killed_first()
    stop = _StopSwitch()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop.on_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SUPERVISED_SIGNALS)
    threading.Thread(target=_end_with_supervisor, args=(start.link,), daemon=True).start()
    # Processes that a task forks are ended by whom they belong to, as they would be elsewhere.
    os.register_at_fork(after_in_child=_restore_signals)
    # Tasks that name our backend themselves must not wait for workers that wait for them.
    joblib.register_parallel_backend("redis-queue", SequentialBackend)
    endpoint = Endpoint(settings.host, settings.port)
    timeout = min(_MOST_TIMEOUT, max(_LEAST_TIMEOUT, settings.queue.lease / 2))
    connection = connect(endpoint, settings.password, timeout=timeout)
    queue = TaskQueue(connection, settings.job_queue_name, settings.queue)
    link = BlobLink(endpoint, settings.password, timeout)
    # The helper hands in while the main thread gets the parts of the next task.
    store = OutcomeStore(queue, BlobLink(endpoint, settings.password, timeout))
    loader = TaskLoader(
        lambda digest: persist(lambda: queue.get_code(digest)),
        start.folder,
        lambda name: persist(lambda: link.get(queue.blob_key(name))),
    )
    try:
        _work(start, queue, store, loader, stop)
    except Stopping:
        _log.info("Ended by a signal")
    return 0


class _StopSwitch:
    """Remembers that the worker is to end, also where a task has swallowed the exception."""

    def __init__(self) -> None:
        self.thrown = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.thrown:
            # The first one has done it; another would break off the `finally` blocks of the task.
            return
        self.thrown = True
        raise Stopping

    def break_off(self, desk: Desk) -> None:
        """End the worker with a task that was dropped; the task may just have ended by itself.

        A task that is broken off anywhere may leave anything behind, so another worker starts.
        """
        if desk.runs_dropped_task and not self.thrown:
            _log.info("The client has dropped the task, and this worker ends with it")
            self.thrown = True
            raise Stopping


def _work(
    start: WorkerStart,
    queue: TaskQueue,
    store: OutcomeStore,
    loader: TaskLoader,
    stop: _StopSwitch,
) -> None:
    desk = Desk(HeldTasks(queue, start.worker_id, store), start.marker)
    signal.signal(BREAK_OFF, lambda _number, _frame: stop.break_off(desk))
    desk.start()
    _get_ready(start, queue, stop)
    silent = False
    try:
        while not stop.thrown:
            claim = desk.begin()
            if claim is not None:
                outcome = _run(claim, loader)
                if not stop.thrown:
                    desk.finish(outcome)
                continue
            try:
                desk.exchange()
                if silent:
                    _log.info("The server takes requests again")
                    silent = False
            except (RedisError, OSError) as error:
                # What is in hand is offered again. How long to hope is the supervisor's decision.
                time.sleep(_PAUSE if silent else _FIRST_PAUSE)
                if not silent:
                    _log.warning("The server does not take requests: %s", error)
                    silent = True
    finally:
        # A second order, of who stops the whole process group, must not break off the last word:
        # the worker would stay among the idle ones, and tasks would be given to it.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        desk.leave()


def _get_ready(start: WorkerStart, queue: TaskQueue, stop: _StopSwitch) -> None:
    """Tell the supervisor once the server answers."""
    while not stop.thrown:
        try:
            queue.claim(start.worker_id, most=0)
        except (RedisError, OSError) as error:
            _log.warning("The server does not take requests: %s", error)
            time.sleep(_PAUSE)
        else:
            start.link.sendall(READY)
            return


def _run(claim: Claim, loader: TaskLoader) -> bytes | LargeOutcome:
    outcome: bytes | LargeOutcome
    try:
        function, args, kwargs = loader.loads_call(claim.payload)
        outcome = outcomes.success(function(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001  # see below
        # Whatever a task raises belongs to its caller, SystemExit and KeyboardInterrupt included.
        # `Stopping` comes here too; its outcome is not handed in.
        outcome = outcomes.failure(error)
    size = size_of(outcome)
    if size > MOST_PAYLOAD:
        outcome = outcomes.failure(
            ResultError(
                f"The result takes {size} bytes, and the server takes at most "
                f"{MOST_PAYLOAD}: return less, or write the result to a file or store."
            )
        )
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return outcome


def _restore_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, BREAK_OFF):
        signal.signal(number, signal.SIG_DFL)


def _end_with_supervisor(link: socket.socket) -> None:
    """End this process, task and all, when the supervisor's end of the link closes."""
    while link.recv(1):
        pass
    _log.error("The supervisor is gone; this worker ends")
    os._exit(1)
