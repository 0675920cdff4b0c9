"""The thread that fetches results for a client, and notices when the server is gone."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import redis
from redis.exceptions import RedisError

from dockerparallel import BrokenClusterError
from dockerparallel_redis_queue_container import outcomes
from dockerparallel_redis_queue_container.futures import OpenFutures
from dockerparallel_redis_queue_container.inbox import Inbox
from dockerparallel_redis_queue_container.large_outcomes import LargeOutcome, read_stub
from dockerparallel_redis_queue_container.outcome_store import OutcomeStore
from dockerparallel_redis_queue_container.records import Delivery
from dockerparallel_redis_queue_container.task_queue import TaskQueue

_BLOCK_SECONDS = 1.0
_PAUSE = 0.05

_log = logging.getLogger(__name__)


@dataclass
class Collector:
    """Delivers results to open futures, in a daemon thread, until closed or the server is gone.

    It holds neither executor nor cluster. At the end of the interpreter it is simply left: it
    never prints, and nobody waits for it.

    Parameters
    ----------
    queue
        On a connection of its own, whose timeout is about the server timeout.
    inbox
        Whose results they are; on the same connection.
    futures
        Where results are delivered.
    store
        Where large results are; closed with the thread.
    server_timeout
        Seconds without an answer of the server after which all open futures fail.
    submitted
        Returns the number of the last submission that the server has taken.
    interrupt
        Called when the server is gone: ends what other threads still wait for.
    """

    queue: TaskQueue
    inbox: Inbox
    futures: OpenFutures
    store: OutcomeStore
    server_timeout: float
    submitted: Callable[[], int] = int
    interrupt: Callable[[], None] = lambda: None
    thread: threading.Thread | None = None
    _closed: threading.Event = field(default_factory=threading.Event)
    _delivering: threading.RLock = field(default_factory=threading.RLock)

    def start(self) -> None:
        """Start the thread."""
        self.thread = threading.Thread(
            target=self._run, name="dockerparallel-collector", daemon=True
        )
        self.thread.start()

    def close(self) -> None:
        """End the thread when it next wakes, within a second; idempotent, does not wait."""
        self._closed.set()

    def is_own_thread(self) -> bool:
        """Tell whether a callback asks: results do not come before it has returned."""
        return threading.current_thread() is self.thread

    def wait_for_callbacks(self) -> None:
        """Return when the callbacks of futures that are done have returned."""
        with self._delivering:
            pass

    def _run(self) -> None:
        try:
            self._collect()
        finally:
            self.queue.close()
            self.store.close()

    def _collect(self) -> None:
        last_answer = time.monotonic()
        last_look = 0.0
        arrived: deque[Delivery] = deque()
        while not self._closed.is_set():
            try:
                if time.monotonic() - last_look >= _BLOCK_SECONDS:
                    last_look = time.monotonic()
                    if not self._look_after():
                        return
                if not arrived:
                    arrived.extend(self.inbox.take())
                    last_answer = time.monotonic()
                if not arrived:
                    arrived.extend(self.inbox.wait(_BLOCK_SECONDS))
                    last_answer = time.monotonic()
                with self._delivering:
                    self._deliver_some(arrived)
                last_answer = time.monotonic()
            except (RedisError, OSError) as error:
                silent = time.monotonic() - last_answer
                if self._closed.is_set():
                    return
                if silent >= self.server_timeout:
                    self._fail(_lost(str(error), silent))
                    return
                # A short trouble: results wait on the server, and are asked for again.
                time.sleep(_PAUSE)

    def _look_after(self) -> bool:
        """Do what is due each second; returns ``False`` where the server has lost its data."""
        if not self.inbox.known(self.submitted()):
            if not self._closed.is_set():
                self._fail(self.inbox.lost)
            return False
        self.queue.reap(outcomes.worker_died(self.queue.settings.max_attempts))
        return True

    def _deliver_some(self, arrived: deque[Delivery]) -> None:
        """Deliver what has arrived, up to the first large result, which may take a while."""
        while arrived:
            delivery = arrived[0]
            if delivery.is_stored:
                self._deliver_stored(delivery)
                arrived.popleft()
                return
            arrived.popleft()
            self._deliver(delivery.task_id, delivery.outcome)
            # It may be big, and the next may be far.
            del delivery

    def _deliver_stored(self, delivery: Delivery) -> None:
        """Get a large result and deliver it; may be repeated where the server does not answer."""
        task_id = delivery.task_id
        if self.futures.is_open(task_id):
            self._deliver(task_id, self.store.get(task_id, delivery.outcome) or outcomes.missing())
        if not self.inbox.keeps:
            self.store.drop(task_id, read_stub(delivery.outcome).worker)

    def _deliver(self, task_id: str, outcome: bytes | memoryview | LargeOutcome) -> None:
        try:
            self.futures.resolve(task_id, outcome)
        except Exception:  # noqa: BLE001  # see below
            # A fault of ours must not cost the other futures their results.
            _log.exception("The result of task %s could not be delivered", task_id)

    def _fail(self, failure: Callable[[], Exception]) -> None:
        with self._delivering:
            self.futures.fail_all(failure)
        self.interrupt()


def _lost(reason: str, silent: float) -> Callable[[], Exception]:
    def make() -> Exception:
        return BrokenClusterError(
            f"The server of the cluster has not answered for {silent:.1f} s ({reason}), so the "
            "results of open tasks are lost. Start the cluster anew, or, where the server lives, "
            "call cluster.register_backend(); server_timeout= sets how long to wait."
        )

    return make


def server_lost(error: redis.RedisError | OSError, waited: float) -> BrokenClusterError:
    """Return the error for a request that the server has not taken for ``waited`` seconds."""
    return BrokenClusterError(
        f"The server of the cluster did not take the request within {waited:.1f} s ({error}). "
        "Start the cluster anew, or, where the server lives, call cluster.register_backend()."
    )
