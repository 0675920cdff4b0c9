"""The tasks that hold a number of workers for the least money, and what is said of their size."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockerparallel import DockerHardware, InvalidTypeError, InvalidValueError
from dockerparallel_ecs_fargate_provider.packing import TaskShape, pack, rounding_note
from dockerparallel_ecs_fargate_provider.prices import ARM64, PUBLISHED, X86_64, Rates
from dockerparallel_ecs_fargate_provider.sizes import LARGEST, FargateSize, smallest_size

X86 = PUBLISHED[X86_64]
# What people ask for, and odd numbers.
CPUS = st.one_of(st.sampled_from([256, 512, 1024, 2048, 4096]), st.integers(1, 16384))
MEMORIES = st.one_of(st.sampled_from([512, 1024, 2048, 8192]), st.integers(1, 122_880))
RATES = st.one_of(
    st.sampled_from([X86, PUBLISHED[ARM64]]),
    st.builds(Rates, st.floats(0, 1), st.floats(0, 1), st.just("the test"), st.just("2026-11")),
)


def price(hardware: DockerHardware, workers: int, rates: Rates, per_task: float) -> Fraction:
    size = smallest_size(hardware.cpu * workers, hardware.memory * workers, rates)
    return rates.exact(*size) + Fraction(repr(per_task))


def fitting(hardware: DockerHardware, most: int) -> int:
    return min(most, LARGEST.cpu // hardware.cpu, LARGEST.memory // hardware.memory)


def partitions(number: int, most: int) -> Iterator[list[int]]:
    if number == 0:
        yield []
    for first in range(min(number, most), 0, -1):
        for others in partitions(number - first, first):
            yield [first, *others]


def judged(
    hardware: DockerHardware, shapes: list[TaskShape], rates: Rates, per_task: float
) -> tuple[Fraction, int]:
    total = Fraction(0)
    for shape in shapes:
        assert shape.size == smallest_size(
            hardware.cpu * shape.workers, hardware.memory * shape.workers, rates
        )
        total += shape.count * price(hardware, shape.workers, rates, per_task)
    return total, sum(shape.count for shape in shapes)


def check_form(shapes: list[TaskShape], number: int, most: int) -> None:
    workers = [shape.workers for shape in shapes]
    assert workers == sorted(set(workers), reverse=True)
    assert all(1 <= each <= most for each in workers)
    assert all(shape.count >= 1 for shape in shapes)
    assert sum(shape.workers * shape.count for shape in shapes) == number


@settings(deadline=None)
@given(
    cpu=CPUS,
    memory=MEMORIES,
    number=st.integers(1, 14),
    most=st.integers(1, 16),
    rates=RATES,
    per_task=st.sampled_from([0.0, 0.005, 0.1]),
)
def test_nothing_is_cheaper_and_nothing_as_cheap_has_fewer_tasks(
    cpu: int, memory: int, number: int, most: int, rates: Rates, per_task: float
) -> None:
    hardware = DockerHardware(cpu=cpu, memory=memory)
    shapes = pack(hardware, number, most, rates, per_task=per_task)
    check_form(shapes, number, most)
    prices = {
        workers: price(hardware, workers, rates, per_task)
        for workers in range(1, fitting(hardware, min(number, most)) + 1)
    }
    best = min(
        (sum((prices[each] for each in parts), Fraction(0)), len(parts))
        for parts in partitions(number, max(prices))
    )
    assert judged(hardware, shapes, rates, per_task) == best


@settings(deadline=None)
@given(
    cpu=CPUS,
    memory=MEMORIES,
    number=st.integers(1, 400),
    most=st.integers(1, 12),
    rates=RATES,
    per_task=st.sampled_from([0.0, 0.005]),
)
def test_many_workers_are_packed_as_well_as_few(
    cpu: int, memory: int, number: int, most: int, rates: Rates, per_task: float
) -> None:
    hardware = DockerHardware(cpu=cpu, memory=memory)
    shapes = pack(hardware, number, most, rates, per_task=per_task)
    check_form(shapes, number, most)
    prices = {
        workers: price(hardware, workers, rates, per_task)
        for workers in range(1, fitting(hardware, most) + 1)
    }
    best = [(Fraction(0), 0)]
    for filled in range(1, number + 1):
        best.append(
            min(
                (best[filled - each][0] + cost, best[filled - each][1] + 1)
                for each, cost in prices.items()
                if each <= filled
            )
        )
    assert judged(hardware, shapes, rates, per_task) == best[number]


@pytest.mark.parametrize(
    ("cpu", "memory", "number", "most", "expected"),
    [
        (1024, 2048, 1000, 4, [(4, (4096, 8192), 250)]),
        (1024, 2048, 3, 3, [(2, (2048, 4096), 1), (1, (1024, 2048), 1)]),
        (1024, 2048, 1000, 3, [(2, (2048, 4096), 500)]),
        (1024, 2048, 1, 64, [(1, (1024, 2048), 1)]),
        (1024, 2048, 10_000, 64, [(16, (16384, 32768), 625)]),
        (256, 512, 10_000, 64, [(64, (16384, 32768), 156), (16, (4096, 8192), 1)]),
        (16384, 122_880, 3, 64, [(1, (16384, 122_880), 3)]),
        # A size has room for two, and the third worker is alone in the same size.
        (128, 256, 3, 2, [(2, (256, 512), 1), (1, (256, 512), 1)]),
        (1, 1, 10_000, 64, [(64, (256, 512), 156), (16, (256, 512), 1)]),
    ],
)
def test_known_packings(
    cpu: int, memory: int, number: int, most: int, expected: list[tuple[int, FargateSize, int]]
) -> None:
    shapes = [TaskShape(*each) for each in expected]
    assert pack(DockerHardware(cpu=cpu, memory=memory), number, most) == shapes


def test_the_least_difference_of_price_outweighs_any_number_of_tasks() -> None:
    dollars = Rates(1, 0, "the test", "2026-11")  # 3 dollars in two tasks, or 4 in one
    shapes = pack(DockerHardware(1024, 2048), 3, 3, dollars)
    assert [(shape.workers, shape.count) for shape in shapes] == [(2, 1), (1, 1)]


def test_what_a_task_costs_besides_its_size_makes_fewer_of_them() -> None:
    hardware = DockerHardware(cpu=1024, memory=2048)
    assert [(shape.workers, shape.count) for shape in pack(hardware, 3, 3)] == [(2, 1), (1, 1)]
    [shape] = pack(hardware, 3, 3, per_task=1)
    assert (shape.workers, shape.count) == (3, 1)


def test_free_tasks_are_still_as_few_as_can_be() -> None:
    free = Rates(0, 0, "the test", "2026-11")
    assert sum(shape.count for shape in pack(DockerHardware(1024, 2048), 100, 4, free)) == 25


def test_no_workers_need_no_tasks() -> None:
    assert pack(DockerHardware(), 0, 4) == []


@pytest.mark.parametrize(
    ("number", "most", "per_task", "message"),
    [
        (-1, 1, 0, "worker_number must be at least 0"),
        (1, 0, 0, "max_worker_num must be at least 1"),
        (1, 1, -0.1, "per_task must be 0 or more"),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    number: int, most: int, per_task: float, message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        pack(DockerHardware(), number, most, per_task=per_task)


def test_half_a_worker_is_refused() -> None:
    with pytest.raises(InvalidTypeError, match="worker_number must be a whole number"):
        pack(DockerHardware(), 1.5, 1)  # type: ignore[arg-type]


def test_a_worker_that_no_task_holds_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="worker_memory=200000 asks for"):
        pack(DockerHardware(cpu=1024, memory=200_000), 1, 1)


@pytest.mark.parametrize(
    ("cpu", "memory", "workers", "size", "expected"),
    [
        (
            1024,
            2048,
            3,
            FargateSize(4096, 8192),
            "3 workers of 1024 CPU units and 2048 MiB need 3 vCPU and 6 GB",
        ),
        (
            100,
            600,
            1,
            FargateSize(256, 1024),
            "1 worker of 100 CPU units and 600 MiB needs 0.0976562 vCPU and 600 MiB",
        ),
        (
            1024,
            1024,
            1,
            FargateSize(1024, 2048),
            "1 worker of 1024 CPU units and 1024 MiB needs 1 vCPU and 1 GB",
        ),
    ],
)
def test_what_is_said_of_a_size_that_is_more_than_asked_for(
    cpu: int, memory: int, workers: int, size: FargateSize, expected: str
) -> None:
    note = rounding_note(DockerHardware(cpu=cpu, memory=memory), TaskShape(workers, size, 1))
    assert note == f"{expected}; Fargate has no such size: each task gets {size}."


@pytest.mark.parametrize(
    ("cpu", "memory", "workers", "size"),
    [(1024, 2048, 4, FargateSize(4096, 8192)), (256, 512, 1, FargateSize(256, 512))],
)
def test_nothing_is_said_of_a_size_that_fits(
    cpu: int, memory: int, workers: int, size: FargateSize
) -> None:
    hardware = DockerHardware(cpu=cpu, memory=memory)
    assert rounding_note(hardware, TaskShape(workers, size, 1)) is None
