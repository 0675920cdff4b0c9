"""The record of every call that reached the harness."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """One attempt of a call of AWS's API, also one that failed.

    Parameters
    ----------
    service : str
        As boto3 names it, such as ``"ecs"``.
    action : str
        Such as ``"RunTask"``.
    parameters : dict
        The arguments, shaped as boto3 takes them; secrets are in it too.
    status : int
        The HTTP status of the answer.
    error_code : str or None
        The error code of the answer, None where it was no error.
    time : float
        When it arrived, in seconds since the epoch.
    """

    service: str
    action: str
    parameters: dict[str, Any]
    status: int
    error_code: str | None
    time: float


class CallLog:
    """The calls in the order in which they arrived, the newest `capacity` of them.

    Parameters
    ----------
    capacity : int, default 100000
        How many calls are remembered.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=capacity)

    def add(self, call: Call) -> None:
        """Remember one call."""
        with self._lock:
            self._calls.append(call)

    def matching(self, service: str | None = None, action: str | None = None) -> list[Call]:
        """Return the calls of a service and of an action; None matches all."""
        with self._lock:
            calls = list(self._calls)
        return [
            call
            for call in calls
            if service in {None, call.service} and action in {None, call.action}
        ]

    def clear(self) -> None:
        """Forget all calls."""
        with self._lock:
            self._calls.clear()
