"""The supervisor: one process per container that runs the workers and vouches for them.

It has no threads and runs no user code, so that its heartbeat does not depend on what tasks do. It
notices the death of a worker at once, gives its task to others, and starts a new one.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Self

from redis.exceptions import RedisError

from dockerparallel import Endpoint
from dockerparallel_redis_queue_container import outcomes, packages, privileges
from dockerparallel_redis_queue_container.begun_marker import NOTHING, BegunMarker
from dockerparallel_redis_queue_container.children import (
    Child,
    dead_processes,
    describe,
    ending,
    new_worker_id,
)
from dockerparallel_redis_queue_container.connection import connect, explain, wait_for_server
from dockerparallel_redis_queue_container.errors import WorkerStartError
from dockerparallel_redis_queue_container.log_tail import LogTail
from dockerparallel_redis_queue_container.memory_limit import MemoryWatch
from dockerparallel_redis_queue_container.settings import PASSWORD, WorkerSettings
from dockerparallel_redis_queue_container.task_queue import TaskQueue
from dockerparallel_redis_queue_container.work_folder import work_folder
from dockerparallel_redis_queue_container.worker import (
    SUPERVISED_SIGNALS,
    WorkerStart,
    run_worker,
)

_MOST_FAILED_STARTS = 5
_LEAST_TIMEOUT = 0.3
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

_log = logging.getLogger(__name__)


def run_supervisor() -> int:
    """Install packages, then run workers until SIGTERM or SIGINT; returns the exit code.

    Called by ``python -m ... worker``. It also returns, with the worker's exit code, in each
    worker process, which is a fork of this one.

    Raises
    ------
    SettingsError
        A setting is missing or cannot be used.
    PackageInstallError
        A package that the user asked for could not be installed; no worker was started.
    QueueConnectionError
        The server did not answer, at the start or later, for ``server_wait`` seconds.
    WorkerStartError
        Worker processes ended again and again before they were ready.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        # As the first process of a container, this one would otherwise not end while it prepares.
        signal.signal(number, _leave)
    settings = WorkerSettings.from_environment()
    packages.install(
        settings.pip_packages, settings.system_packages, timeout=settings.queue.install_timeout
    )
    privileges.drop(hidden_secrets=(PASSWORD,))
    # Tasks are the user's, but need not be shown the password of the server.
    os.environ.pop(PASSWORD, None)
    with work_folder() as folder, Supervisor(settings, folder) as supervisor:
        worker = supervisor.run()
    return 0 if worker is None else run_worker(worker, settings)


class Supervisor:
    """Starts, watches and ends the workers of one container. For the main thread only.

    Parameters
    ----------
    settings
        What the container was told.
    folder
        Where the workers put the code that clients ship.
    """

    def __init__(self, settings: WorkerSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._endpoint = Endpoint(settings.host, settings.port)
        # A command that hangs must not use up the leases: one more is tried on a new connection.
        timeout = max(_LEAST_TIMEOUT, settings.queue.lease / 3)
        connection = connect(self._endpoint, settings.password, timeout=timeout)
        self._queue = TaskQueue(connection, settings.job_queue_name, settings.queue)
        self._memory = MemoryWatch()
        self._children: dict[int, Child] = {}
        self._heartbeat_file = settings.heartbeat_file
        self._burials: list[tuple[str, bytes, bool, str]] = []
        self._failed_starts = 0
        self._start_after = 0.0
        self._stopping = False
        self._server_answers = True
        self._pid = os.getpid()

    def __enter__(self) -> Self:
        """Wait for the server and take over the signals."""
        wait_for_server(self._queue.connection, self._endpoint, self._settings.queue.server_wait)
        self._wake_reader, self._wake_writer = os.pipe()
        for descriptor in (self._wake_reader, self._wake_writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the workers; in a worker, only let go of what was the supervisor's."""
        if os.getpid() == self._pid:
            self._end_children()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for child in self._children.values():
            child.close()
        self._queue.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def run(self) -> WorkerStart | None:
        """Keep the wanted number of workers alive.

        Returns
        -------
        WorkerStart or None
            In a new worker process what it needs; ``None`` in the supervisor, once it is told to
            stop.
        """
        last_answer = time.monotonic()
        next_heartbeat = 0.0
        _log.info("Starting %d worker(s)", self._settings.worker_number)
        # What is there now stays: no garbage collection of a worker need go through it again, and
        # touch, and so copy, the memory that all of them share.
        gc.freeze()
        while not self._stopping:
            self._collect_dead()
            started = self._start_missing()
            if started is not None:
                return started
            now = time.monotonic()
            if now >= next_heartbeat or self._burials or self._new_ones():
                try:
                    self._heartbeat()
                    last_answer = time.monotonic()
                    self._server_answers = True
                except (RedisError, OSError) as error:
                    self._server_answers = False
                    waited = time.monotonic() - last_answer
                    if waited > self._settings.queue.server_wait:
                        raise explain(error, self._endpoint, waited) from error
                    _log.warning("The server did not take the heartbeat: %s", error)
                next_heartbeat = time.monotonic() + self._settings.queue.heartbeat
            self._sleep(until=next_heartbeat)
        return None

    # Workers ---------------------------------------------------------------------------------

    def _start_missing(self) -> WorkerStart | None:
        while (
            len(self._children) < self._settings.worker_number
            and time.monotonic() >= self._start_after
        ):
            ours, theirs = socket.socketpair()
            worker_id, marker, tail = new_worker_id(), BegunMarker(), LogTail(self._folder)
            # A worker lets the signals in when it has its own handlers (`run_worker`).
            signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISED_SIGNALS)
            pid = os.fork()
            if pid == 0:
                ours.close()
                return WorkerStart(worker_id, theirs, self._folder, marker, tail)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SUPERVISED_SIGNALS)
            theirs.close()
            ours.setblocking(False)
            description = describe(worker_id, pid)
            self._children[pid] = Child(worker_id, pid, ours, description, marker, tail)
        return None

    def _collect_dead(self) -> None:
        for pid, status in dead_processes():
            child = self._children.pop(pid, None)
            if child is None:
                # As the first process of a container we inherit orphans of the tasks.
                continue
            if child.look_for_ready():
                self._failed_starts = 0
            code = os.waitstatus_to_exitcode(status)
            limit = self._memory.exceeded_limit() if code == -signal.SIGKILL else None
            left = code == 0 and child.marker.running() == NOTHING
            report = child.log_tail.crash_report().decode("utf-8", "replace").strip()
            self._bury(child, code, limit, blame=not (self._stopping or left))
            child.close()
            if self._stopping or left:
                continue
            how = ending(code, limit)
            if report:
                how += f"\n{report}"
            _log.error("Worker %s (process %d) died: %s", child.worker_id, pid, how)
            if child.ready:
                continue
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise WorkerStartError(
                    f"{self._failed_starts} workers in a row ended before they were ready, the "
                    f"last with {how}. Their own messages are in the log above."
                )
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failed_starts)
            self._start_after = time.monotonic() + pause

    def _bury(self, child: Child, code: int, limit: int | None, *, blame: bool) -> None:
        died = outcomes.worker_died(
            self._settings.queue.max_attempts,
            exit_code=code if code >= 0 else None,
            signal_number=-code if code < 0 else None,
            memory_limit=limit,
            log_tail=child.log_tail.text(),
        )
        self._burials.append((child.worker_id, died, blame, child.marker.running()))

    def _end_children(self) -> None:
        self._stopping = True
        for number, seconds in (
            (signal.SIGTERM, self._settings.queue.stop_grace),
            (signal.SIGKILL, None),
        ):
            for pid in self._children:
                os.kill(pid, number)
            deadline = None if seconds is None else time.monotonic() + seconds
            while self._children and (deadline is None or time.monotonic() < deadline):
                self._sleep(until=deadline)
                self._collect_dead()
        try:
            # A server that did not answer a moment ago would only hold up the end.
            if self._server_answers:
                self._hold_burials()
        except (RedisError, OSError) as error:
            # Their leases run out by themselves.
            _log.warning("The server was not told that the workers ended: %s", error)
        _log.info("All workers have ended")

    # Heartbeat -------------------------------------------------------------------------------

    def _new_ones(self) -> bool:
        """Look for workers that have just become ready."""
        found = [child for child in self._children.values() if child.look_for_ready()]
        if found:
            self._failed_starts = 0
        return bool(found)

    def _heartbeat(self) -> None:
        self._hold_burials()
        alive = [child for child in self._children.values() if child.ready]
        if alive:
            self._queue.renew((child.worker_id, child.description) for child in alive)
        self._queue.reap(outcomes.worker_died(self._settings.queue.max_attempts))
        if self._heartbeat_file is not None:
            try:
                self._heartbeat_file.touch()
            except OSError as error:
                # A check of the container's health then fails; the workers work all the same.
                _log.warning("The sign of life cannot be given: %s", error)
                self._heartbeat_file = None

    def _hold_burials(self) -> None:
        while self._burials:
            worker_id, died, blame, ran = self._burials[0]
            self._queue.bury(worker_id, died, blame=blame, ran=ran)
            del self._burials[0]

    # Waiting ---------------------------------------------------------------------------------

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        if not self._stopping:
            _log.info("Stopping after %s", signal.Signals(number).name)
        self._stopping = True

    def _sleep(self, until: float | None) -> None:
        """Sleep until then, a signal, or news of a worker that starts."""
        if len(self._children) < self._settings.worker_number and not self._stopping:
            until = min(until or self._start_after, self._start_after)
        links = [child.link for child in self._children.values() if not child.ready]
        seconds = None if until is None else max(0.0, until - time.monotonic())
        watched: list[Any] = [self._wake_reader, *links]
        readable, _, _ = select.select(watched, [], [], seconds)
        if self._wake_reader in readable:
            os.read(self._wake_reader, 4096)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
