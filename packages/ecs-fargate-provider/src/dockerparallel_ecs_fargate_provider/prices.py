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
        When they were read there, as ``"YYYY-MM"``, or empty.
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

PUBLIC_IP_HOUR = 0.005
"""US dollars per hour of a public IPv4 address in use (https://aws.amazon.com/vpc/pricing/)."""

SPOT_FACTOR = 0.3
"""An ASSUMPTION: AWS says of Spot only "up to 70% off", and its price changes daily."""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """The prices that a cluster is counted with; any of them may be given by the user.

    Immutable. Made by the user with the numbers of another Region or of a contract, or by the
    provider without any.

    Parameters
    ----------
    vcpu_hour
        US dollars per vCPU and hour on demand. Default: :data:`PUBLISHED`, by architecture.
    gb_hour
        US dollars per GB of memory and hour on demand. Default: as ``vcpu_hour``.
    public_ip_hour
        US dollars per hour of a public IPv4 address. Default: 0.005.
    spot_factor
        What Spot costs, as a part of the price on demand: 0 to 1. Default: 0.3, which is an
        assumption.

    Raises
    ------
    InvalidTypeError
        A number is none.
    InvalidValueError
        A number is below 0, infinite or not a number, or ``spot_factor`` is above 1.
    """

    vcpu_hour: float | None = None
    gb_hour: float | None = None
    public_ip_hour: float = PUBLIC_IP_HOUR
    spot_factor: float | None = None

    def __post_init__(self) -> None:
        for name in ("vcpu_hour", "gb_hour", "public_ip_hour", "spot_factor"):
            value = getattr(self, name)
            if value is not None or name == "public_ip_hour":
                check_amount(name, value)
        if self.spot_factor is not None and self.spot_factor > 1:
            raise InvalidValueError(
                f"spot_factor must be from 0 to 1, not {self.spot_factor}: it is the part of the "
                "price on demand that Spot costs."
            )

    @classmethod
    def published(cls) -> PriceTable:
        """Return the table in which no price is the user's."""
        return cls()

    def rates(self, architecture: str = X86_64, *, spot: bool = False) -> Rates:
        """Return what the size of a task costs.

        Parameters
        ----------
        architecture
            ``"X86_64"`` (default) or ``"ARM64"``.
        spot
            Whether it is Spot capacity. Default: on demand.

        Raises
        ------
        InvalidValueError
            There is no such architecture.
        """
        if architecture not in PUBLISHED:
            raise InvalidValueError(
                f"architecture must be 'X86_64' or 'ARM64', not {architecture!r}: Fargate has no "
                "other for Linux."
            )
        base = PUBLISHED[architecture]
        own = self.vcpu_hour is not None or self.gb_hour is not None
        factor = self._spot_factor if spot else 1.0
        return Rates(
            vcpu_hour=factor * (base.vcpu_hour if self.vcpu_hour is None else self.vcpu_hour),
            gb_hour=factor * (base.gb_hour if self.gb_hour is None else self.gb_hour),
            source="given by the user" if own else base.source,
            date="" if own else base.date,
            minimum_seconds=base.minimum_seconds,
        )

    def for_task(
        self,
        size: tuple[int, int],
        spot: bool = False,
        public_ip: bool = False,
        architecture: str = X86_64,
    ) -> float:
        """Return US dollars per hour of one task.

        Parameters
        ----------
        size
            A :class:`~dockerparallel_ecs_fargate_provider.sizes.FargateSize`: CPU units and MiB.
        spot
            Whether it runs on Spot capacity.
        public_ip
            Whether it has a public IPv4 address, which is never cheaper as Spot.
        architecture
            ``"X86_64"`` (default) or ``"ARM64"``.

        Raises
        ------
        InvalidValueError
            There is no such architecture.
        """
        price = float(self.rates(architecture, spot=spot).exact(*size))
        return price + (self.public_ip_hour if public_ip else 0.0)

    def note(self, region: str | None = None, *, spot: bool = False) -> str | None:
        """Return what the user should know of these prices, or ``None`` where they are theirs.

        Parameters
        ----------
        region
            The Region of the cluster: prices differ between Regions. ``None``: not known.
        spot
            Whether the price of Spot was used.
        """
        notes = []
        missing = self.vcpu_hour is None or self.gb_hour is None
        if missing and region is not None and region != PRICED_REGION:
            notes.append(
                f"The prices are those of {PRICED_REGION} ({_READ}, {_PRICING_PAGE}), and {region} "
                "has others: give them by PriceTable(vcpu_hour=..., gb_hour=...)."
            )
        if spot and self.spot_factor is None:
            notes.append(
                f"Spot is counted at {SPOT_FACTOR:.0%} of the price on demand, which is an "
                "assumption: AWS says up to 70% off, and changes it daily. Give yours by "
                "PriceTable(spot_factor=...)."
            )
        return " ".join(notes) or None

    @property
    def _spot_factor(self) -> float:
        return SPOT_FACTOR if self.spot_factor is None else self.spot_factor
