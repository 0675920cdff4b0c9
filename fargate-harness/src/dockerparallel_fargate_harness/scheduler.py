"""Work in the background: some of it later, none of it in the thread that answers calls."""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Work = Callable[[], None]


class Scheduler:
    """Does work in a pool of threads, at once or after a while.

    What a piece of work raises is written to stderr, since nobody waits for it.

    Parameters
    ----------
    workers : int, default 8
        How many pieces of work are done at a time.
    """

    def __init__(self, workers: int = 8) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="fargate-work")
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Work]] = []
        self._order = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="fargate-clock", daemon=True)
        self._thread.start()

    def soon(self, work: Work) -> None:
        """Do a piece of work as soon as a thread is free."""
        self.later(0.0, work)

    def later(self, seconds: float, work: Work) -> None:
        """Do a piece of work after a while; nothing once this is closed."""
        with self._changed:
            if self._closed:
                return
            if seconds <= 0:
                self._pool.submit(_guarded, work)
                return
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), work))
            self._changed.notify()

    def forget(self) -> None:
        """Drop what is not due yet."""
        with self._changed:
            self._due.clear()

    def close(self) -> None:
        """Drop what has not begun, and wait for what has."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
        self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                while self._due and self._due[0][0] <= now:
                    self._pool.submit(_guarded, heapq.heappop(self._due)[2])
                self._changed.wait(self._due[0][0] - now if self._due else None)


def _guarded(work: Work) -> None:
    try:
        work()
    except Exception:  # noqa: BLE001 -- no caller is there to get it
        traceback.print_exc(file=sys.stderr)
