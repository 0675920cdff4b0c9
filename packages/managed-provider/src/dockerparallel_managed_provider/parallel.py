"""Doing the same with many containers at a time, for providers that call a slow platform."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_TELL_SECONDS = 2.0


def for_each(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    at_a_time: int,
    tell: Callable[[int], None] | None = None,
    stop_at_error: bool = False,
) -> list[_Result | Exception]:
    """Call ``function`` with each item, several at a time, and return what came out, in order.

    Blocks until all are through. Where no thread can be started, as at interpreter exit, the calls
    are made one after the other. Each is made once.

    Parameters
    ----------
    function
        Must be thread-safe.
    items
        Its arguments.
    at_a_time
        How many calls may run at a time.
    tell
        Called from this thread with the number of calls that are through, at most each two
        seconds and at the end where that took longer.
    stop_at_error
        Whether nothing more is begun after an error; what was not begun has that error too.

    Returns
    -------
    list
        For each item the result, or the exception that was raised.
    """
    progress = _Progress(tell, len(items))
    outcomes: dict[int, _Result | Exception] = {}
    waiting = list(enumerate(items))[::-1]
    failed: Exception | None = None
    running: dict[Future[_Result], tuple[int, _Call[_Item, _Result]]] = {}
    pool = ThreadPoolExecutor(max_workers=max(1, min(at_a_time, len(items))))
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                number, item = waiting.pop()
                if failed is not None and stop_at_error:
                    outcomes[number] = failed
                    continue
                call = _Call(function, item)
                # Before it begins, so that an interrupt finds it.
                running[call.future] = number, call
                call.submit(pool)
            done, _ = wait(running, timeout=_TELL_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                outcome = _outcome(future)
                outcomes[running.pop(future)[0]] = outcome
                failed = outcome if failed is None and isinstance(outcome, Exception) else failed
            progress.note(len(outcomes))
    finally:
        # After Ctrl-C too: what was begun must be known before anybody looks at it.
        pool.shutdown(wait=True, cancel_futures=True)
        for _, call in running.values():
            call.settle()
    return [outcomes[number] for number in range(len(items))]


class _Call(Generic[_Item, _Result]):
    """One call of the function, which is made at most once."""

    def __init__(self, function: Callable[[_Item], _Result], item: _Item) -> None:
        self.future: Future[_Result] = Future()
        self._function = function
        self._item = item
        self._claim = threading.Lock()

    def submit(self, pool: ThreadPoolExecutor) -> None:
        """Have it made by a thread of the pool, or at once where there is none to be had."""
        try:
            pool.submit(self._make)
        except RuntimeError:
            # The interpreter is leaving, or the system has no more threads to give.
            self._make()

    def settle(self) -> None:
        """Wait for its end if it has begun, else see that it never does.

        A pool that is interrupted while it starts a thread does not know of that thread.
        """
        if not self._claim.acquire(blocking=False):
            wait([self.future])

    def _make(self) -> None:
        # A pool that cannot start a thread has queued the call all the same, for those it has.
        if not self._claim.acquire(blocking=False):
            return
        try:
            result = self._function(self._item)
        except BaseException as error:  # noqa: BLE001 - it is what came out
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


def _outcome(future: Future[_Result]) -> _Result | Exception:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, Exception):
        return error
    raise error


class _Progress:
    """Tells now and then how far it is."""

    def __init__(self, tell: Callable[[int], None] | None, total: int) -> None:
        self._tell = tell
        self._total = total
        self._told = 0
        self._next = time.monotonic() + _TELL_SECONDS

    def note(self, done: int) -> None:
        if self._tell is None or done == self._told or time.monotonic() < self._next:
            return
        self._tell(done)
        self._told = done
        self._next = time.monotonic() + (0 if done == self._total else _TELL_SECONDS)
