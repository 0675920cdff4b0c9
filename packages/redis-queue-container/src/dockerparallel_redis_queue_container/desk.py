"""Where a worker's tasks pass: what its main thread begins, finishes, and asks the server for.

The main thread runs the tasks. While it has nothing to run it talks to the server itself, so that
a lone task is delayed by no change of threads. While it runs one, the helper does.
"""

from __future__ import annotations

from contextlib import suppress

from redis.exceptions import RedisError

from dockerparallel_redis_queue_container.begun_marker import BegunMarker
from dockerparallel_redis_queue_container.held_tasks import HeldTasks
from dockerparallel_redis_queue_container.helper import Helper
from dockerparallel_redis_queue_container.large_outcomes import LargeOutcome
from dockerparallel_redis_queue_container.records import Claim

_BLOCK_SECONDS = 1.0
_SPARE_BLOCK_SECONDS = 0.025
_LAST_WORD_SECONDS = 1.0


class Desk:
    """The tasks of one worker, for its main thread.

    Parameters
    ----------
    held
        Where they are.
    marker
        Where the supervisor reads which task runs.
    """

    def __init__(self, held: HeldTasks, marker: BegunMarker) -> None:
        self._held = held
        self._helper = Helper(held)
        self._marker = marker

    def start(self) -> None:
        """Start the helper."""
        self._helper.start()

    def begin(self) -> Claim | None:
        """Return the task to run now; ``None`` where the server must be asked first."""
        claim = self._held.begin()
        if claim is not None:
            self._marker.begin(claim.task_id)
            if self._helper.rests or self._held.pace.is_slow:
                self._helper.wake()
        return claim

    def finish(self, outcome: bytes | LargeOutcome) -> None:
        """Put down the outcome of the task that was begun."""
        self._held.finish(outcome)

    def exchange(self) -> None:
        """Hand in what is finished, and get tasks: wait for them, a second at most.

        Raises
        ------
        redis.RedisError, OSError
            The server does not take the request; it may be repeated.
        """
        held = self._held
        with held.talk:
            self._marker.end()
            if held.waiting:
                # The helper has just brought tasks, or all are to be confirmed after a long one.
                if held.is_stale:
                    held.ask(0)
                held.confirmed = True
                return
            idle, spare = held.ask(held.pace.portion)
            held.confirmed = True
            if idle:
                seconds = _SPARE_BLOCK_SECONDS if spare else _BLOCK_SECONDS
                held.wait(seconds)

    @property
    def runs_dropped_task(self) -> bool:
        """Whether the task that runs is one whose client has dropped it."""
        return bool(self._held.running) and self._held.running == self._held.dropped

    def leave(self) -> None:
        """Hand in what is finished, and be idle no more, if the server takes it within a moment."""
        held = self._held
        if self.runs_dropped_task:
            # It has its outcome, and its end is no death.
            self._marker.end()
        if held.talk.acquire(timeout=_LAST_WORD_SECONDS):
            try:
                # What is not handed in will run again, elsewhere.
                with suppress(RedisError, OSError):
                    held.ask(0)
            finally:
                held.talk.release()
