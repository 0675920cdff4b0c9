"""Lets the batches of one `joblib.Parallel` object into the queue, all or some at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

from dockerparallel.errors import DockerParallelError
from dockerparallel_redis_queue_container.batch_setup import BatchSetup, run_batch
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.errors import TaskPicklingError

Batch = Callable[[], Any]
Callback = Callable[[Any], None]


class Turnstile:
    """Sends batches, and cancels what it has sent. Thread-safe.

    Parameters
    ----------
    client
        The connection to the queue.
    setup
        What a worker prepares before each batch; ``None`` for nothing.
    limit
        How many batches may be in the queue, or run, at once; by default all. Those that wait are
        kept here.
    """

    def __init__(
        self, client: QueueClient, setup: BatchSetup | None = None, limit: int | None = None
    ) -> None:
        self._client = client
        self._setup = setup
        self._limit = limit
        # Re-entrant: garbage collection may drop a generator, which cancels, in our midst.
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Batch, Future[Any]]] = deque()
        self._inside = 0
        self._turning = False
        self._sent_some = False

    def start_call(self) -> None:
        """Begin a call of the ``Parallel`` object: what was edited since the last one counts."""
        self._sent_some = False

    def submit(self, batch: Batch, callback: Callback | None) -> Future[Any]:
        """Send a batch, now or when its turn comes; never raises.

        Parameters
        ----------
        batch
            What a worker calls.
        callback
            Called with the future when it is done.

        Returns
        -------
        Future
            It fails with a `TaskPicklingError` where the batch cannot be pickled, and with an error
            of the queue where it cannot be sent.
        """
        future: Future[Any]
        if self._limit is None:
            future = self._send(batch)
        else:
            future = Future()
            with self._lock:
                self._waiting.append((batch, future))
        if callback is not None:
            future.add_done_callback(callback)
        if self._limit is not None:
            self._turn(self._limit)
        return future

    def cancel(self) -> None:
        """Cancel the batches; workers end those that they have begun, in about a second."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            future.cancel()
        self._client.drop_futures(self._client.open_futures(self))

    # -----------------------------------------------------------------------------------------

    def _send(self, batch: Batch) -> Future[Any]:
        in_a_row, self._sent_some = self._sent_some, True
        function, args = (batch, ()) if self._setup is None else (run_batch, (batch, self._setup))
        try:
            return self._client.submit_call(function, args, {}, self, wait=False, in_a_row=in_a_row)
        except DockerParallelError as error:
            return _failed(error)
        except Exception as error:  # noqa: BLE001  # whatever the objects raise when pickled
            problem = TaskPicklingError(
                "Could not pickle the task to send to the workers: "
                f"{type(error).__name__}: {error}. Pass what can be pickled, or make it there."
            )
            problem.__cause__ = error
            return _failed(problem)

    def _turn(self, limit: int) -> None:
        """Send what may be sent; in a loop, as a batch that fails at once brings us back here."""
        with self._lock:
            if self._turning:
                return
            self._turning = True
        while True:
            with self._lock:
                if not self._waiting or self._inside >= limit:
                    self._turning = False
                    return
                batch, future = self._waiting.popleft()
                self._inside += 1
            if not future.set_running_or_notify_cancel():
                self._leave()
                continue
            sent = self._send(batch)
            sent.add_done_callback(partial(self._hand_on, future, limit))

    def _hand_on(self, future: Future[Any], limit: int, done: Future[Any]) -> None:
        self._leave()
        self._turn(limit)
        error = CancelledError() if done.cancelled() else done.exception()
        if error is None:
            future.set_result(done.result())
        else:
            future.set_exception(error)

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1


def _failed(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future
