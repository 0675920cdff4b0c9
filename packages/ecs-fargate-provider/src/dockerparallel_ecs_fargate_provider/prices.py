"""What Fargate costs: the published rates, and the table of prices that a user may change.

All prices are US dollars per hour. Nothing here asks AWS: the numbers were read off the pages
that :attr:`Rates.source` names, and are those of one Region.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from dockerparallel import InvalidTypeError, InvalidValueError

UNITS_PER_VCPU = 1024
"""CPU units of one vCPU (AWS documentation, "Task CPU and memory")."""

MIB_PER_GB = 1024
"""MiB of what Fargate's documentation and price list call one GB."""

PRICED_REGION = "us-east-1"
"""The Region whose prices :data:`PUBLISHED` holds."""

_PRICING_PAGE = "https://aws.amazon.com/fargate/pricing/"
_READ = "2026-11"


def check_amount(name: str, value: object) -> float:
    """Return ``value`` if it is a finite number of dollars (or a factor), 0 or more.

    Raises
    ------
    InvalidTypeError
        It is no number.
    InvalidValueError
        It is below 0, infinite or not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTypeError(
            f"{name} must be a number, not {value!r} of type {type(value).__name__}."
        )
    if not 0 <= value < math.inf:
        raise InvalidValueError(f"{name} must be 0 or more and finite, not {value}.")
    return float(value)


def _as_written(amount: float) -> Fraction:
    # A price list says 0.04048, and that is meant, not the nearest binary number.
    return Fraction(repr(float(amount)))


@dataclass(frozen=True, slots=True)
class Rates:
    """What a task costs by its size, on demand or as Spot capacity.

    Immutable, so it may be shared by threads.

    Parameters
    ----------
    vcpu_hour
        US dollars per vCPU and hour.
    gb_hour
        US dollars per GB (1024 MiB) of memory and hour.
    source
        Where the numbers are from: an address, or who gave them.
    date
        When they were read there, as ``"YYYY-MM"``.
    minimum_seconds
        The least time that is billed for one task, in seconds. Linux tasks: a minute.

    Raises
    ------
    InvalidTypeError
        A number is none.
    InvalidValueError
        A number is below 0, infinite or not a number.
    """

    vcpu_hour: float
    gb_hour: float
    source: str
    date: str
    minimum_seconds: int = 60

    def __post_init__(self) -> None:
        for name in ("vcpu_hour", "gb_hour", "minimum_seconds"):
            check_amount(name, getattr(self, name))

    def exact(self, cpu: int, memory: int) -> Fraction:
        """Return the price of one hour of ``cpu`` units and ``memory`` MiB, without rounding.

        Sizes are compared by it: four times a size costs exactly four times as much, which the
        same sum of ``float`` may miss by its last bit.
        """
        by_cpu = _as_written(self.vcpu_hour) * cpu / UNITS_PER_VCPU
        return by_cpu + _as_written(self.gb_hour) * memory / MIB_PER_GB


X86_64 = "X86_64"
"""The architecture of Intel and AMD processors, as ``runtimePlatform`` of ECS spells it."""

ARM64 = "ARM64"
"""The architecture of AWS Graviton processors, as ``runtimePlatform`` of ECS spells it."""

PUBLISHED: Mapping[str, Rates] = MappingProxyType(
    {
        X86_64: Rates(vcpu_hour=0.04048, gb_hour=0.004445, source=_PRICING_PAGE, date=_READ),
        ARM64: Rates(vcpu_hour=0.03238, gb_hour=0.00356, source=_PRICING_PAGE, date=_READ),
    }
)
"""The rates on demand of Linux tasks in :data:`PRICED_REGION`, by architecture."""
