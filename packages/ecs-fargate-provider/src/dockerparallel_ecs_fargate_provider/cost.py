"""What a cluster has cost so far, and what one would cost.

Fargate bills each task per second, rounded up, from the start of the pull of its image until it
has stopped, a minute at least (https://aws.amazon.com/fargate/pricing/). A public address counts
for the same time. Data transfer, logs, NAT gateways and taxes are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, fsum

from dockerparallel import InvalidValueError
from dockerparallel_ecs_fargate_provider.packing import TaskShape
from dockerparallel_ecs_fargate_provider.prices import X86_64, PriceTable, check_amount
from dockerparallel_ecs_fargate_provider.sizes import FargateSize

CURRENCY = "USD"
"""The currency of all prices."""

SHOWN_TASKS = 20
"""How many tasks :class:`Cost` shows one by one, the dearest first."""

_SECONDS_PER_HOUR = 3600
_MANY_DOLLARS = 10
_NOT_INCLUDED = "Data transfer, logs, NAT gateways and taxes are not included."


@dataclass(frozen=True, slots=True)
class Billable:
    """One task as the bill sees it; the provider makes it from what DescribeTasks says.

    Parameters
    ----------
    handle
        Its name in the table.
    role
        ``"server"`` or ``"worker"``.
    workers
        How many workers it has; 0 for a server.
    size
        What it was started with.
    spot, public_ip, architecture
        As for :meth:`~dockerparallel_ecs_fargate_provider.prices.PriceTable.for_task`.
    billed_from
        When the pull of its image began, with a time zone. ``None``: not yet, so it is free.
    billed_to
        When it had stopped, with a time zone. ``None``: it runs.
    """

    handle: str
    role: str
    workers: int
    size: FargateSize
    spot: bool = False
    public_ip: bool = False
    architecture: str = X86_64
    billed_from: datetime | None = None
    billed_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class TaskBill:
    """What one task costs.

    Parameters
    ----------
    handle, role, workers, spot
        Those of the task.
    per_hour
        US dollars per hour that it costs, or cost, while it is billed.
    seconds
        Billed so far: whole seconds, a minute at least, or 0 before its image is pulled.
    cost
        US dollars so far.
    running
        Whether it is billed on.
    """

    handle: str
    role: str
    workers: int
    per_hour: float
    seconds: int
    cost: float
    running: bool
    spot: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """What the tasks of a cluster cost; ``str`` gives a table.

    Parameters
    ----------
    so_far
        US dollars until now, of all tasks.
    per_hour
        US dollars per hour of those that run.
    by_task
        One bill for each task, in the order in which they were given.
    currency
        ``"USD"``.
    note
        What to know of the numbers.
    """

    so_far: float
    per_hour: float
    by_task: tuple[TaskBill, ...]
    currency: str = CURRENCY
    note: str | None = None

    @property
    def by_worker(self) -> dict[str, float]:
        """US dollars so far of ONE worker of each task, by the handle of the task."""
        return {bill.handle: bill.cost / bill.workers for bill in self.by_task if bill.workers}

    def __str__(self) -> str:
        dearest = sorted(self.by_task, key=lambda bill: -bill.cost)
        rows: list[tuple[str, ...]] = [("task", "role", "workers", "USD/hour", "time", "USD", "")]
        rows += [_row(bill) for bill in dearest[:SHOWN_TASKS]]
        rest = dearest[SHOWN_TASKS:]
        if rest:
            more = _dollars(fsum(bill.cost for bill in rest))
            rows.append((f"{len(rest)} more", "", "", "", "", more, ""))
        rows.append(("total", "", "", _dollars(self.per_hour), "", _dollars(self.so_far), ""))
        table = _aligned(rows)
        return f"{table}\n{self.note}" if self.note else table


@dataclass(frozen=True, slots=True)
class EstimateLine:
    """Tasks that are alike: what they are, their number, and US dollars per hour of them all."""

    what: str
    size: FargateSize
    count: int
    per_hour: float

    def __str__(self) -> str:
        tasks = "1 task" if self.count == 1 else f"{self.count} tasks"
        return f"{self.what}: {tasks} of {self.size}: {_dollars(self.per_hour)} USD per hour"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a cluster would cost; ``str`` gives it in some lines.

    Parameters
    ----------
    per_hour
        US dollars per hour.
    hours
        For how long it was reckoned.
    total
        US dollars for that time.
    lines
        Of what the price per hour is made.
    note
        What to know of the numbers.
    """

    per_hour: float
    hours: float
    total: float
    lines: tuple[EstimateLine, ...]
    note: str | None = None

    def __str__(self) -> str:
        head = (
            f"About {_dollars(self.per_hour)} USD per hour, {_dollars(self.total)} USD in "
            f"{self.hours:.3g} {'hour' if self.hours == 1 else 'hours'}."
        )
        told = [head, *(f"  {line}" for line in self.lines), *([self.note] if self.note else [])]
        return "\n".join(told)


def cost_of(
    tasks: Iterable[Billable],
    now: datetime,
    prices: PriceTable | None = None,
    *,
    region: str | None = None,
) -> Cost:
    """Return what tasks have cost until ``now``.

    Pure. Called by the provider when the user asks for the cost.

    Parameters
    ----------
    tasks
        All tasks of the cluster, also those that have stopped.
    now
        The present time, with a time zone.
    prices
        Default: the published ones.
    region
        The Region of the tasks, for the note. Default: not known.

    Raises
    ------
    InvalidValueError
        ``now`` has no time zone, or a task an architecture that Fargate does not have.
    """
    if now.tzinfo is None:
        raise InvalidValueError(f"now must have a time zone, not {now!r}: use datetime.now(UTC).")
    table = PriceTable.published() if prices is None else prices
    bills = tuple(_bill(task, now, table) for task in tasks)
    return Cost(
        so_far=fsum(bill.cost for bill in bills),
        per_hour=fsum(bill.per_hour for bill in bills if bill.running),
        by_task=bills,
        note=_note(table, region, any(bill.spot for bill in bills)),
    )


def estimate(
    shapes: Iterable[TaskShape],
    server_size: FargateSize | None,
    hours: float,
    prices: PriceTable | None = None,
    *,
    spot_share: float = 0.0,
    public_ip: bool = True,
    architecture: str = X86_64,
    region: str | None = None,
) -> Estimate:
    """Return what a cluster would cost, before it is started.

    Pure, and exact only in so far as all tasks run all the time.

    Parameters
    ----------
    shapes
        The tasks of the workers, from
        :func:`~dockerparallel_ecs_fargate_provider.packing.pack`.
    server_size
        The task of the server, which is never Spot. ``None``: no server in Fargate.
    hours
        How long it runs: 0 or more. A minute is the least that is billed.
    prices
        Default: the published ones.
    spot_share
        Which part of the tasks of workers is Spot capacity: 0 (default) to 1.
    public_ip
        Whether each task has a public address. Default: it has.
    architecture
        ``"X86_64"`` (default) or ``"ARM64"``.
    region
        The Region, for the note. Default: not known.

    Raises
    ------
    InvalidTypeError
        A number is none.
    InvalidValueError
        A number is out of its range, or Fargate does not have the architecture.
    """
    check_amount("hours", hours)
    if check_amount("spot_share", spot_share) > 1:
        raise InvalidValueError(
            f"spot_share must be from 0 to 1, not {spot_share}: it is a part of the workers."
        )
    table = PriceTable.published() if prices is None else prices
    lines = []
    if server_size is not None:
        price = table.for_task(server_size, False, public_ip, architecture)
        lines.append(EstimateLine("Server", server_size, 1, price))
    for shape in shapes:
        on_demand = table.for_task(shape.size, False, public_ip, architecture)
        spot = table.for_task(shape.size, True, public_ip, architecture)
        mixed = spot_share * spot + (1 - spot_share) * on_demand
        each = "1 worker each" if shape.workers == 1 else f"{shape.workers} workers each"
        what = f"{each}, {spot_share:.0%} of them Spot" if spot_share else each
        lines.append(EstimateLine(what, shape.size, shape.count, mixed * shape.count))
    per_hour = fsum(line.per_hour for line in lines)
    least = table.rates(architecture).minimum_seconds / _SECONDS_PER_HOUR
    total = per_hour * max(hours, least)
    note = _note(table, region, spot_share > 0)
    return Estimate(per_hour, float(hours), total, tuple(lines), note)


def _bill(task: Billable, now: datetime, prices: PriceTable) -> TaskBill:
    per_hour = prices.for_task(task.size, task.spot, task.public_ip, task.architecture)
    seconds = 0
    if task.billed_from is not None:
        passed = (task.billed_to or now) - task.billed_from
        least = prices.rates(task.architecture).minimum_seconds
        seconds = max(least, ceil(passed / timedelta(seconds=1)))
    return TaskBill(
        handle=task.handle,
        role=task.role,
        workers=task.workers,
        per_hour=per_hour,
        seconds=seconds,
        cost=per_hour * seconds / _SECONDS_PER_HOUR,
        running=task.billed_from is not None and task.billed_to is None,
        spot=task.spot,
    )


def _note(prices: PriceTable, region: str | None, spot: bool) -> str:
    own = prices.note(region, spot=spot)
    return f"{own} {_NOT_INCLUDED}" if own else _NOT_INCLUDED


def _row(bill: TaskBill) -> tuple[str, ...]:
    states = ["Spot"] if bill.spot else []
    if not bill.running:
        states.append("ended" if bill.seconds else "not billed yet")
    return (
        bill.handle,
        bill.role,
        str(bill.workers or "-"),
        _dollars(bill.per_hour),
        str(timedelta(seconds=bill.seconds)),
        _dollars(bill.cost),
        ", ".join(states),
    )


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows as text: words to the left, the numbers in between to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left = {0, 1, len(widths) - 1}
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _dollars(value: float) -> str:
    return f"{value:,.2f}" if value >= _MANY_DOLLARS else f"{value:.4f}"
