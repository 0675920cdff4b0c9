"""How many tasks of how many workers each: the cheapest way to have a number of workers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm
from typing import NamedTuple

from dockerparallel import DockerHardware
from dockerparallel.validation import check_int
from dockerparallel_ecs_fargate_provider.prices import PUBLISHED, X86_64, Rates, check_amount
from dockerparallel_ecs_fargate_provider.sizes import (
    SIZES,
    FargateSize,
    amount,
    check_hardware,
    smallest_size,
)


@dataclass(frozen=True, slots=True)
class TaskShape:
    """A number of tasks that are alike.

    Parameters
    ----------
    workers
        Workers of each of these tasks.
    size
        What each of these tasks has, for all of its workers.
    count
        How many such tasks there are.
    """

    workers: int
    size: FargateSize
    count: int


class _Option(NamedTuple):
    """The most workers that tasks of one size hold, and what such a task counts."""

    workers: int
    cost: int


def pack(
    hardware: DockerHardware,
    worker_number: int,
    max_worker_num: int,
    rates: Rates = PUBLISHED[X86_64],
    *,
    per_task: float = 0.0,
) -> list[TaskShape]:
    """Return the tasks that hold exactly ``worker_number`` workers for the least money.

    Of equally cheap ways the one with the fewest tasks is taken, so with the fewest calls. The
    same arguments always give the same tasks, those with the most workers first.

    Pure, and quick: 10,000 workers at up to 64 for each task are a matter of milliseconds.

    Parameters
    ----------
    hardware
        What ONE worker needs. Its ``id`` is not looked at.
    worker_number
        How many workers there shall be: 0 or more.
    max_worker_num
        The most workers of one task, as the container says. At least 1. A task also never has
        more than the largest size holds.
    rates
        What tasks cost. Default: those of x86 processors in us-east-1, on demand.
    per_task
        US dollars per hour that each task costs besides its size: that of a public address.
        Default: 0.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        A number is none, or too small, or not even one worker fits into the largest size.
    """
    check_hardware("worker", hardware)
    check_int("worker_number", worker_number, minimum=0)
    check_int("max_worker_num", max_worker_num, minimum=1)
    check_amount("per_task", per_task)
    if worker_number == 0:
        return []
    counts = _cheapest(
        _options(hardware, min(worker_number, max_worker_num), worker_number, rates, per_task),
        worker_number,
    )
    _leave_out(counts, sum(workers * count for workers, count in counts.items()) - worker_number)
    return [
        TaskShape(workers, _size_for(hardware, workers, rates), counts[workers])
        for workers in sorted(counts, reverse=True)
    ]


def rounding_note(hardware: DockerHardware, shape: TaskShape) -> str | None:
    """Return a sentence for the user where a task gets more than its workers asked for.

    Pure; called once for each shape before its tasks start.

    Parameters
    ----------
    hardware
        What ONE worker asked for.
    shape
        The tasks that it got, from :func:`pack`.

    Returns
    -------
    str | None
        ``None`` where the size is exactly what was asked for.
    """
    cpu, memory = hardware.cpu * shape.workers, hardware.memory * shape.workers
    if (cpu, memory) == shape.size:
        return None
    each = f"{hardware.cpu} CPU units and {hardware.memory} MiB"
    needed = amount(cpu, memory).replace(", ", " and ")
    if shape.workers == 1:
        start = f"1 worker of {each} needs {needed}"
    else:
        start = f"{shape.workers} workers of {each} need {needed}"
    return f"{start}; Fargate has no such size: each task gets {shape.size}."


def _size_for(hardware: DockerHardware, workers: int, rates: Rates) -> FargateSize:
    return smallest_size(hardware.cpu * workers, hardware.memory * workers, rates)


def _options(
    hardware: DockerHardware, most: int, worker_number: int, rates: Rates, per_task: float
) -> list[_Option]:
    """Return the tasks worth thinking of, the cheapest per worker first.

    A task that holds fewer workers for the same money is never one of them: the surplus is left
    out at the end. So there are no more of them than Fargate has sizes.
    """
    prices: dict[int, Fraction] = {}
    for size in SIZES:
        workers = min(size.cpu // hardware.cpu, size.memory // hardware.memory, most)
        if workers:
            price = rates.exact(*size) + Fraction(repr(float(per_task)))
            prices[workers] = min(price, prices.get(workers, price))
    # Whole numbers, in which any difference of price outweighs all tasks there can be.
    scale = lcm(*(price.denominator for price in prices.values())) * (worker_number + 1)
    options = []
    least: int | None = None
    for workers in sorted(prices, reverse=True):
        cost = int(prices[workers] * scale) + 1
        if least is None or cost < least:
            options.append(_Option(workers, cost))
            least = cost
    return sorted(options, key=lambda option: (Fraction(option.cost, option.workers), option))


def _cheapest(options: list[_Option], worker_number: int) -> dict[int, int]:
    """Return how many tasks of each number of workers hold at least ``worker_number``.

    Among as many other tasks as the best option has workers, some together have a multiple of
    its workers (by the sums of the first, the first two, ... modulo that number): as many of
    the best cost no more. So fewer others than that are ever needed, and only the workers that
    those could hold are a question; all before are tasks of the best option.
    """
    best = options[0]
    others = max((option.workers for option in options[1:]), default=0)
    open_workers = (best.workers - 1) * others
    bulk = max(0, ceil((worker_number - open_workers) / best.workers))
    counts = {best.workers: bulk} if bulk else {}
    rest = max(0, worker_number - bulk * best.workers)
    least = [0]
    chosen = [0]
    for workers in range(1, rest + 1):
        cost, option = min(
            (least[max(0, workers - option.workers)] + option.cost, -option.workers)
            for option in options
        )
        least.append(cost)
        chosen.append(-option)
    while rest > 0:
        counts[chosen[rest]] = counts.get(chosen[rest], 0) + 1
        rest -= chosen[rest]
    return counts


def _leave_out(counts: dict[int, int], surplus: int) -> None:
    """Take ``surplus`` workers out of one of the largest tasks.

    Even the smallest task has more workers than that, or the whole task would be too many.
    """
    if surplus:
        largest = max(counts)
        counts[largest] -= 1
        if not counts[largest]:
            del counts[largest]
        counts[largest - surplus] = counts.get(largest - surplus, 0) + 1
