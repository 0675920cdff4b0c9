"""The thread of a worker that looks after its tasks while the main thread runs one."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from concurrent.futures import CancelledError

from redis.exceptions import RedisError

from dockerparallel_redis_queue_container import outcomes
from dockerparallel_redis_queue_container.held_tasks import HeldTasks
from dockerparallel_redis_queue_container.records import record_of

BREAK_OFF = signal.SIGUSR1
"""What the helper sends to its own process where the task that runs is to be broken off."""

_TICK = 0.01
_TICKS_TO_REST = 2
_DROPPED_SECONDS = 1.0
_DROPPED_MESSAGE = "The client has dropped the task, so the worker has broken it off."

_log = logging.getLogger(__name__)


class Helper:
    """Hands in what is finished, fetches the next task, and gives back what would have to wait.

    Parameters
    ----------
    held
        The tasks of the worker.
    """

    def __init__(self, held: HeldTasks) -> None:
        self._held = held
        self._last_look = 0.0
        # A bare lock: an event takes longer to set, and that is time between two tasks.
        self._asleep = threading.Lock()
        self._asleep.acquire()
        self.rests = True
        """Whether it looks after nothing until it is woken."""

    def start(self) -> None:
        """Start the thread, a daemon."""
        threading.Thread(target=self._run, name="dockerparallel-helper", daemon=True).start()

    def wake(self) -> None:
        """Have it look at once; called by the main thread alone, when a task has begun."""
        self.rests = False
        # Where the lock is free, the helper has been woken already.
        if self._asleep.locked():
            self._asleep.release()

    # -----------------------------------------------------------------------------------------

    def _run(self) -> None:
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
            quiet_ticks = 0 if self._held.running else quiet_ticks + 1
            if quiet_ticks > _TICKS_TO_REST:
                pause, quiet_ticks = self._rest("", -1.0), 0

    def _rest(self, task_id: str, pause: float) -> float:
        """Have the next task wake us, and return how long to sleep for the one that runs."""
        self.rests = True
        if self._held.running != task_id:
            # It has begun just now, and its thread may not have seen that we rest.
            self.rests = False
            return _TICK
        return pause

    def _look_after(self) -> float:
        """Do what is to be done while a task runs; returns how long nothing else will be."""
        held, now, task_id = self._held, time.monotonic(), self._held.running
        if not task_id:
            return _TICK
        age = now - held.begun
        too_long = age > held.pace.limit
        if too_long or now - held.last_talk > _TICK:
            held.give_back(0 if too_long else held.pace.portion, age)
        if age > _DROPPED_SECONDS and now - self._last_look > _DROPPED_SECONDS:
            self._last_look = now
            self._look_for_drop(task_id)
        ahead = held.pace.ahead if not held.waiting and not too_long else 0
        due = held.finished and now - held.last_talk > held.pace.patience
        if (ahead or due) and held.talk.acquire(blocking=False):
            try:
                if held.running:
                    held.ask(ahead)
            finally:
                held.talk.release()
        return self._next_look(task_id)

    def _next_look(self, task_id: str) -> float:
        held, pace, now = self._held, self._held.pace, time.monotonic()
        moments = [max(held.begun, self._last_look) + _DROPPED_SECONDS]
        if held.waiting:
            moments.append(held.begun + pace.limit)
        elif pace.ahead and now < held.begun + pace.limit:
            moments.append(held.last_talk + max(_TICK, pace.patience))
        if held.finished:
            moments.append(held.last_talk + pace.patience)
        pause = min(moments) - now
        return self._rest(task_id, pause) if pause > _TICK else _TICK

    def _look_for_drop(self, task_id: str) -> None:
        """Break the task off where its client has dropped it."""
        held = self._held
        if not held.queue.is_dropped(task_id):
            return
        with held.talk:
            # First its outcome, so that nobody runs it again.
            record = record_of(task_id, outcomes.failure(CancelledError(_DROPPED_MESSAGE)))
            held.queue.claim(held.worker_id, [record], most=0)
        with held.hand:
            held.dropped = task_id
        os.kill(os.getpid(), BREAK_OFF)
