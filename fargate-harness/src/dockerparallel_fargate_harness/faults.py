"""The faults that a test has ordered."""

from __future__ import annotations

import threading
from dataclasses import dataclass

CAPACITY_REASON = (
    "Capacity is unavailable at this time. Please try again later or in a different "
    "availability zone"
)


@dataclass
class Fault:
    """An error that the next matching calls get.

    Parameters
    ----------
    action : str
        The action that fails, such as ``"RunTask"``; ``"*"`` is every action.
    code, message : str
        The error that the caller sees.
    service : str, optional
        Only calls of this service; by default of any.
    status : int, default 400
        The HTTP status; boto3 itself retries 5xx and throttling codes.
    times : int, default 1
        How many calls fail.
    skip : int, default 0
        How many matching calls pass before.
    after_effect : bool, default False
        The call takes effect, and only its answer is lost.
    """

    action: str
    code: str
    message: str
    service: str | None = None
    status: int = 400
    times: int = 1
    skip: int = 0
    after_effect: bool = False


@dataclass
class Refusal:
    """RunTask without capacity.

    Parameters
    ----------
    times : int
        How many calls of RunTask are refused.
    reason : str
        The reason in each of the ``failures``.
    started : int, default 0
        How many tasks of each call still start.
    """

    times: int
    reason: str = CAPACITY_REASON
    started: int = 0


class FaultPlan:
    """The ordered faults, each of which is used up by the calls that it hits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._refusals: list[Refusal] = []

    def add(self, fault: Fault) -> None:
        """Order a fault."""
        with self._lock:
            self._faults.append(fault)

    def refuse(self, refusal: Refusal) -> None:
        """Order a lack of capacity."""
        with self._lock:
            self._refusals.append(refusal)

    def clear(self) -> None:
        """Forget all that is ordered."""
        with self._lock:
            self._faults.clear()
            self._refusals.clear()

    def hit(self, service: str, action: str) -> Fault | None:
        """Return the fault that hits this call, if any; the first ordered wins."""
        with self._lock:
            for fault in self._faults:
                if fault.action not in {"*", action} or fault.service not in {None, service}:
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
            return None

    def refusal(self) -> Refusal | None:
        """Return the refusal that hits this RunTask, if any."""
        with self._lock:
            if not self._refusals:
                return None
            first = self._refusals[0]
            first.times -= 1
            if first.times <= 0:
                self._refusals.pop(0)
            return first
