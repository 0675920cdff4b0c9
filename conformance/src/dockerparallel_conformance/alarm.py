"""A limit on the time of a check, which also ends code that blocks."""

from __future__ import annotations

import signal
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dockerparallel import ClusterStateError

# Fires again in case something has caught and dropped the first one.
_AGAIN_SECONDS = 1.0
# How long a finalizer may go on, and how often it is looked at meanwhile.
_FINALIZER_SECONDS = 5.0
_LOOK_SECONDS = 0.05


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


def in_finalizer(frame: FrameType | None) -> bool:
    """Tell whether a finalizer runs, where the main thread is interrupted at ``frame``."""
    while frame is not None:
        if frame.f_code is weakref.finalize.__call__.__code__ or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`TimeLimitReached` in the block after ``seconds``.

    Works by the alarm signal, which interrupts whatever the main thread waits for. A finalizer that
    runs at that moment gets a few seconds more: what it raises is dropped, and what it was to close
    would stay open. An alarm that somebody else has set goes on afterwards, with the time that it
    has left.

    Raises
    ------
    ClusterStateError
        This is not the main thread, in which Python handles signals.
    """
    require_main_thread()

    began = time.monotonic()

    def expire(_number: int, frame: FrameType | None) -> None:
        if in_finalizer(frame) and time.monotonic() < began + seconds + _FINALIZER_SECONDS:
            signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _AGAIN_SECONDS)
            return
        raise TimeLimitReached

    old_handler = signal.signal(signal.SIGALRM, expire)
    old_left, old_interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old_handler)
        if old_left:
            left = max(old_left - (time.monotonic() - began), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, old_interval)
