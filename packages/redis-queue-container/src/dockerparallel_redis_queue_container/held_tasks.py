"""What a worker holds: tasks that it has claimed, and outcomes that it has not handed in."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from dockerparallel_redis_queue_container.large_outcomes import LargeOutcome, size_of
from dockerparallel_redis_queue_container.outcome_store import OutcomeStore
from dockerparallel_redis_queue_container.pace import Pace
from dockerparallel_redis_queue_container.records import Claim, Finished, record_of
from dockerparallel_redis_queue_container.task_queue import TaskQueue

_LARGE_RESULTS = 1024 * 1024
_SMALL_RESULTS = 64 * 1024

_log = logging.getLogger(__name__)


class HeldTasks:
    """What a worker has in hand, and its talk with the server about it.

    The main thread of the worker begins and finishes tasks; it and the helper ask the server.

    Parameters
    ----------
    queue
        Where tasks come from.
    worker_id
        The id under which they are claimed.
    store
        Where large outcomes are put.

    Attributes
    ----------
    talk
        Held while the server is talked to.
    hand
        Held for a moment where ``waiting`` and ``finished`` change, never across a wait.
    waiting
        Tasks that were claimed and have not begun.
    finished
        Tasks whose outcomes are to be handed in.
    running
        The id of the task that runs, or "".
    begun
        When it began.
    last_talk
        When the server was last asked; it counts the worker's silence from when it heard that.
    confirmed
        Whether the server has just told what waits here; however long that took, one may begin.
    dropped
        The id of a task that ran when its client had dropped it.
    """

    def __init__(self, queue: TaskQueue, worker_id: str, store: OutcomeStore) -> None:
        self.queue = queue
        self.worker_id = worker_id
        self._store = store
        self.pace = Pace()
        self.talk = threading.Lock()
        self.hand = threading.Lock()
        self.waiting: deque[Claim] = deque()
        self.finished: list[Finished] = []
        self.running = ""
        self.begun = 0.0
        self.last_talk = 0.0
        self.confirmed = False
        self.dropped = ""

    @property
    def is_stale(self) -> bool:
        """Whether others may have taken what waits here, or are about to."""
        return time.monotonic() - self.last_talk > self.pace.stale / 2

    def begin(self) -> Claim | None:
        """Return the task to run now; ``None`` where the server must be asked first."""
        with self.hand:
            if not self.waiting:
                return None
            if not self.confirmed and self.is_stale:
                # Where another has begun it meanwhile, what comes of it here is dropped.
                return None
            self.confirmed = False
            claim = self.waiting.popleft()
            self.running, self.begun = claim.task_id, time.monotonic()
        return claim

    def finish(self, outcome: bytes | LargeOutcome) -> None:
        """Put down the outcome of the task that was begun."""
        now = time.monotonic()
        with self.hand:
            self.finished.append(Finished(self.running, outcome))
            self.running = ""
            self.pace.add(now - self.begun)

    def ask(self, most: int) -> tuple[bool, bool]:
        """Hand in what is finished and claim tasks; to be called with ``talk`` held.

        Returns
        -------
        tuple of bool
            Whether there is nothing to do, and whether others hold spare tasks.

        Raises
        ------
        redis.RedisError, OSError
            The server does not take the request; it may be repeated.
        """
        with self.hand:
            finished = list(self.finished)
            holding = len(self.waiting) + bool(self.running)
        size = sum(size_of(one.outcome) for one in finished)
        records = [record_of(one.task_id, self._stored(i, one)) for i, one in enumerate(finished)]
        if size > _LARGE_RESULTS:
            # Where the memory of the server fills up, no more than this one will exceed it.
            most = min(most, 1)
        # The server counts our silence from when it got the claim, which is later.
        asked = time.monotonic()
        reply = self.queue.claim(
            self.worker_id,
            records,
            most=most,
            holding=holding,
            pace=self.pace.seconds,
            stale=self.pace.stale,
        )
        if size <= _SMALL_RESULTS:
            # What takes long because it is large says nothing about the server.
            self.pace.add_round_trip(time.monotonic() - asked)
        for task_id in reply.dropped:
            _log.warning("Task %s was given to another worker meanwhile", task_id)
        with self.hand:
            del self.finished[: len(records)]
            known: set[str] = set()
            if reply.whole:
                self.waiting.clear()
                # The main thread went on meanwhile.
                known = {self.running, *(one.task_id for one in self.finished)}
            self.waiting.extend(claim for claim in reply.tasks if claim.task_id not in known)
            self.last_talk = asked
            idle = not self.waiting and not self.running
        for one in finished:
            # One that was stored for an earlier request may have counted then, and be needed.
            if one.task_id in reply.dropped and isinstance(one.outcome, LargeOutcome):
                self._store.drop(one.task_id, self.worker_id)
        return idle, reply.spare

    def _stored(self, index: int, finished: Finished) -> bytes:
        """Return what a record has of an outcome, which is stored apart now where it is large."""
        outcome = finished.outcome
        if isinstance(outcome, bytes):
            return outcome
        stub = self._store.put(finished.task_id, self.worker_id, outcome)
        with self.hand:
            # Once is enough, also where the request fails that hands it in.
            self.finished[index] = Finished(finished.task_id, stub)
        return stub

    def wait(self, seconds: float) -> None:
        """Block until the server gives this idle worker a task; with ``talk`` held."""
        claim = self.queue.wait_for_task(self.worker_id, seconds)
        if claim is not None:
            with self.hand:
                self.waiting.append(claim)
                self.last_talk = time.monotonic()

    def give_back(self, keep: int, age: float) -> None:
        """Give back the last of what waits, all but so many, since the first runs for so long."""
        if len(self.waiting) <= keep:
            return
        with self.talk:
            given: list[Claim] = []
            with self.hand:
                while len(self.waiting) > keep:
                    given.append(self.waiting.pop())
            if given:
                # A failure is mended by the next claim, which finds that we hold fewer.
                task_ids = [claim.task_id for claim in given[::-1]]
                self.queue.give_back(self.worker_id, task_ids, pace=age)
