"""What a worker has in hand: tasks that it has claimed, and outcomes that it has not handed in.

The main thread runs the tasks. While it has nothing to run it talks to the server itself, so that
a lone task is delayed by no change of threads. While it runs one, the helper does: it hands in
what is finished, fetches the next task before it is needed, and gives back what would have to wait.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from concurrent.futures import CancelledError
from contextlib import suppress

from redis.exceptions import RedisError

from dockerparallel_redis_queue_container import outcomes
from dockerparallel_redis_queue_container.begun_marker import BegunMarker
from dockerparallel_redis_queue_container.pace import Pace
from dockerparallel_redis_queue_container.records import Claim, record_of
from dockerparallel_redis_queue_container.task_queue import TaskQueue

BREAK_OFF = signal.SIGUSR1
"""What the helper sends to its own process where the task that runs is to be broken off."""

_BLOCK_SECONDS = 1.0
_SPARE_BLOCK_SECONDS = 0.025
_TICK = 0.01
_TICKS_TO_REST = 2
_LAST_WORD_SECONDS = 1.0
_LARGE_RESULTS = 1024 * 1024
_DROPPED_SECONDS = 1.0

_DROPPED_MESSAGE = "The client has dropped the task, so the worker has broken it off."

_log = logging.getLogger(__name__)


class Desk:
    """The tasks of one worker. `begin`, `finish`, `exchange`, `leave` are for its main thread.

    Parameters
    ----------
    queue
        Where tasks come from.
    worker_id
        The id under which they are claimed.
    marker
        Where the supervisor reads which task runs.
    """

    def __init__(self, queue: TaskQueue, worker_id: str, marker: BegunMarker) -> None:
        self._queue = queue
        self._worker_id = worker_id
        self._marker = marker
        self._pace = Pace()
        # `_talk` is held while the server is talked to; `_hand` for a moment, never across a wait.
        self._talk = threading.Lock()
        self._hand = threading.Lock()
        self._waiting: deque[Claim] = deque()
        self._finished: list[bytes] = []
        self._running = ""
        self._begun = 0.0
        self._last_talk = 0.0
        self._last_look = 0.0
        # Whether the server has just told what waits here; however long that took, one may begin.
        self._confirmed = False
        self._dropped = ""
        # What the helper waits for. A bare lock: an event takes longer to set, and that is time
        # between two tasks.
        self._asleep = threading.Lock()
        self._asleep.acquire()
        self._resting = True

    def start(self) -> None:
        """Start the helper, a daemon thread."""
        threading.Thread(target=self._help, name="dockerparallel-helper", daemon=True).start()

    # The main thread -------------------------------------------------------------------------

    def begin(self) -> Claim | None:
        """Return the task to run now; ``None`` where the server must be asked first."""
        now = time.monotonic()
        with self._hand:
            if not self._waiting:
                return None
            if not self._confirmed and now - self._last_talk > self._pace.stale / 2:
                # Others may have taken what waits here, and that of a second execution is lost.
                return None
            self._confirmed = False
            claim = self._waiting.popleft()
            self._running, self._begun = claim.task_id, now
        self._marker.begin(claim.task_id)
        if self._resting or self._pace.is_slow:
            self._resting = False
            # Nobody else releases it, and where it is free, the helper has been woken already.
            if self._asleep.locked():
                self._asleep.release()
        return claim

    def finish(self, outcome: bytes) -> None:
        """Put down the outcome of the task that was begun."""
        now = time.monotonic()
        with self._hand:
            self._finished.append(record_of(self._running, outcome))
            self._running = ""
            self._pace.add(now - self._begun)

    def exchange(self) -> None:
        """Hand in what is finished, and get tasks: wait for them, a second at most.

        Raises
        ------
        redis.RedisError, OSError
            The server does not take the request; it may be repeated.
        """
        with self._talk:
            self._marker.end()
            if self._waiting:
                # The helper has just brought tasks, or all are to be confirmed after a long one.
                if time.monotonic() - self._last_talk > self._pace.stale / 2:
                    self._ask(0)
                self._confirmed = True
                return
            idle, spare = self._ask(self._pace.portion)
            self._confirmed = True
            if idle:
                seconds = _SPARE_BLOCK_SECONDS if spare else _BLOCK_SECONDS
                claim = self._queue.wait_for_task(self._worker_id, seconds)
                if claim is not None:
                    with self._hand:
                        self._waiting.append(claim)
                        self._last_talk = time.monotonic()

    @property
    def runs_dropped_task(self) -> bool:
        """Whether the task that runs is one whose client has dropped it."""
        return bool(self._running) and self._running == self._dropped

    def leave(self) -> None:
        """Hand in what is finished, and be idle no more, if the server takes it within a moment."""
        if self.runs_dropped_task:
            # It has its outcome, and its end is no death.
            self._marker.end()
        if self._talk.acquire(timeout=_LAST_WORD_SECONDS):
            try:
                # What is not handed in will run again, elsewhere.
                with suppress(RedisError, OSError):
                    self._ask(0)
            finally:
                self._talk.release()

    # The helper ------------------------------------------------------------------------------

    def _help(self) -> None:
        """Look after a task that runs: at once where it is told to, else now and then."""
        silent, quiet_ticks, pause = False, 0, -1.0
        while True:
            self._asleep.acquire(timeout=pause)
            try:
                pause = self._look_after()
                silent = False
            except (RedisError, OSError) as error:
                pause = _TICK
                if not silent:
                    _log.warning("The server does not take requests: %s", error)
                    silent = True
            except Exception:  # noqa: BLE001  # see below
                # A fault of ours here costs speed only: the main thread does all of it too.
                pause = _TICK
                _log.exception("The helper of the worker failed")
            quiet_ticks = 0 if self._running else quiet_ticks + 1
            if quiet_ticks > _TICKS_TO_REST:
                pause, quiet_ticks = self._rest("", -1.0), 0

    def _rest(self, task_id: str, pause: float) -> float:
        """Have the next task wake us, and return how long to sleep for the one that runs."""
        self._resting = True
        if self._running != task_id:
            # It has begun just now, and its thread may not have seen that we rest.
            self._resting = False
            return _TICK
        return pause

    def _look_after(self) -> float:
        """Do what is to be done while a task runs; returns how long nothing else will be."""
        now, task_id = time.monotonic(), self._running
        if not task_id:
            return _TICK
        age = now - self._begun
        too_long = age > self._pace.limit
        if too_long or now - self._last_talk > _TICK:
            self._give_back(0 if too_long else self._pace.portion, age)
        if age > _DROPPED_SECONDS and now - self._last_look > _DROPPED_SECONDS:
            self._last_look = now
            self._look_for_drop(task_id)
        ahead = self._pace.ahead if not self._waiting and not too_long else 0
        due = now - self._last_talk > self._pace.patience
        if (ahead or (due and self._finished)) and self._talk.acquire(blocking=False):
            try:
                if self._running:
                    self._ask(ahead)
            finally:
                self._talk.release()
        return self._next_look(task_id)

    def _next_look(self, task_id: str) -> float:
        begun, pace, now = self._begun, self._pace, time.monotonic()
        moments = [max(begun, self._last_look) + _DROPPED_SECONDS]
        if self._waiting:
            moments.append(begun + pace.limit)
        elif pace.ahead and now < begun + pace.limit:
            moments.append(self._last_talk + max(_TICK, pace.patience))
        if self._finished:
            moments.append(self._last_talk + pace.patience)
        pause = min(moments) - now
        return self._rest(task_id, pause) if pause > _TICK else _TICK

    def _look_for_drop(self, task_id: str) -> None:
        """Break the task off where its client has dropped it."""
        if not task_id or not self._queue.is_dropped(task_id):
            return
        with self._talk:
            # First its outcome, so that nobody runs it again.
            record = record_of(task_id, outcomes.failure(CancelledError(_DROPPED_MESSAGE)))
            self._queue.claim(self._worker_id, [record], most=0)
        with self._hand:
            self._dropped = task_id
        os.kill(os.getpid(), BREAK_OFF)

    def _give_back(self, keep: int, age: float) -> None:
        if len(self._waiting) <= keep:
            return
        with self._talk:
            given: list[Claim] = []
            with self._hand:
                while len(self._waiting) > keep:
                    given.append(self._waiting.pop())
            if given:
                # A failure is mended by the next claim, which finds that we hold fewer.
                task_ids = [claim.task_id for claim in given[::-1]]
                self._queue.give_back(self._worker_id, task_ids, pace=age)

    # Both ------------------------------------------------------------------------------------

    def _ask(self, most: int) -> tuple[bool, bool]:
        """Claim; returns whether there is nothing to do, and whether others hold spare tasks."""
        with self._hand:
            records = list(self._finished)
            holding = len(self._waiting) + bool(self._running)
        if sum(map(len, records)) > _LARGE_RESULTS:
            # Where the memory of the server fills up, no more than this one will exceed it.
            most = min(most, 1)
        # The server counts our silence from when it got the claim, which is later.
        asked = time.monotonic()
        reply = self._queue.claim(
            self._worker_id,
            records,
            most=most,
            holding=holding,
            pace=self._pace.seconds,
            stale=self._pace.stale,
        )
        self._pace.add_round_trip(time.monotonic() - asked)
        for task_id in reply.dropped:
            _log.warning("Task %s was given to another worker meanwhile", task_id)
        with self._hand:
            del self._finished[: len(records)]
            if reply.whole:
                self._waiting.clear()
            # The main thread went on meanwhile.
            known = {self._running, *map(_id_of, self._finished)} if reply.whole else ()
            self._waiting.extend(claim for claim in reply.tasks if claim.task_id not in known)
            self._last_talk = asked
            return not self._waiting and not self._running, reply.spare


def _id_of(record: bytes) -> str:
    return record[1 : record[0] + 1].decode()
