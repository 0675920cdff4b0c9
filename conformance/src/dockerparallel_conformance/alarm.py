"""A limit on the time of a check, which also ends code that blocks."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dockerparallel import ClusterStateError

# Fires again in case something has caught and dropped the first one.
_AGAIN_SECONDS = 1.0
# How long `unhurried` may take after the limit, and how often that is looked at meanwhile.
_GRACE_SECONDS = 5.0
_LOOK_SECONDS = 0.05

_unhurried: list[bool] = []


class TimeLimitReached(BaseException):
    """Raised in the main thread when the time is up; no ``except Exception`` catches it."""


def require_main_thread() -> None:
    """Refuse to go on in another thread.

    Raises
    ------
    ClusterStateError
        This is not the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ClusterStateError(
            "Conformance checks run in the main thread only, where a signal can end one that "
            "blocks: call general_docker_cluster_test() or pytest from there."
        )


@contextmanager
def unhurried() -> Iterator[None]:
    """Let the block end, within seconds, before a time limit interrupts the main thread.

    For the moment in which something is made that nobody knows yet, such as a process: interrupted
    there, it would never be ended.
    """
    _unhurried.append(True)
    try:
        yield
    finally:
        _unhurried.pop()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`TimeLimitReached` in the block after ``seconds``.

    Works by the alarm signal, which interrupts whatever the main thread waits for. Where that is a
    finalizer, Python drops what is raised, and the alarm rings again. An alarm that somebody else
    has set goes on afterwards, with the time that it has left.

    Where the alarm rings just as the block is left, it may keep the limit from being lifted: call
    :func:`lift_limits` where the error is handled.

    Raises
    ------
    ClusterStateError
        This is not the main thread, in which Python handles signals.
    """
    require_main_thread()
    limit = _Limit(seconds)
    limit.set()
    try:
        yield
    finally:
        limit.lift()


def lift_limits() -> None:
    """See that no limit is left of blocks that are over; harmless where there is none."""
    while _set:
        _set[-1].lift()


class _Limit:
    """One limit, from when it is set until it is lifted; lifting is idempotent."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = time.monotonic()
        self._lifted = False

    def set(self) -> None:
        _set.append(self)
        self._old_handler = signal.signal(signal.SIGALRM, self._ring)
        self._old_left, self._old_interval = signal.setitimer(
            signal.ITIMER_REAL, self._seconds, _AGAIN_SECONDS
        )
        self._old_hook = sys.unraisablehook
        sys.unraisablehook = self._note_dropped

    def lift(self) -> None:
        if self._lifted:
            return
        # From here on it rings no more, so that the rest is done.
        self._lifted = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._old_handler)
        sys.unraisablehook = self._old_hook
        if self._old_left:
            left = max(self._old_left - (time.monotonic() - self._began), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, self._old_interval)
        _set.remove(self)

    def _note_dropped(self, dropped: sys.UnraisableHookArgs) -> None:
        # That the alarm was dropped is nobody's fault, and told to nobody.
        if not issubclass(dropped.exc_type, TimeLimitReached):
            self._old_hook(dropped)

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if self._lifted:
            return
        in_time = time.monotonic() < self._began + self._seconds + _GRACE_SECONDS
        if in_time and _unhurried:
            signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _AGAIN_SECONDS)
            return
        raise TimeLimitReached


_set: list[_Limit] = []
