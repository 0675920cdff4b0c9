"""The sizes of Fargate tasks, and which one holds what is asked for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockerparallel import DockerHardware, InvalidTypeError, InvalidValueError
from dockerparallel_ecs_fargate_provider.prices import ARM64, PUBLISHED, Rates
from dockerparallel_ecs_fargate_provider.sizes import (
    LARGEST,
    SIZES,
    FargateSize,
    check_hardware,
    smallest_size,
)

# (CPU, number of sizes, least MiB, most MiB), counted in the table of the documentation.
ROWS = [
    (256, 3, 512, 2048),
    (512, 4, 1024, 4096),
    (1024, 7, 2048, 8192),
    (2048, 13, 4096, 16384),
    (4096, 23, 8192, 30720),
    (8192, 12, 16384, 61440),
    (16384, 12, 32768, 122880),
]


@pytest.mark.parametrize(("cpu", "number", "least", "most"), ROWS)
def test_a_row_of_the_table(cpu: int, number: int, least: int, most: int) -> None:
    memories = [size.memory for size in SIZES if size.cpu == cpu]
    assert (len(memories), min(memories), max(memories)) == (number, least, most)
    steps = {after - before for before, after in pairwise(memories)}
    expected = {256: {512, 1024}, 8192: {4096}, 16384: {8192}}.get(cpu, {1024})
    assert steps == expected


def test_the_table_has_each_size_once_and_in_order() -> None:
    assert list(SIZES) == sorted(set(SIZES))
    assert len(SIZES) == sum(number for _, number, _, _ in ROWS)
    assert LARGEST == (16384, 122880)


@pytest.mark.parametrize(
    ("cpu", "memory", "expected"),
    [
        (1, 1, (256, 512)),
        (256, 512, (256, 512)),
        (256, 513, (256, 1024)),
        (256, 1025, (256, 2048)),
        (257, 512, (512, 1024)),
        (256, 2049, (512, 3072)),  # more memory than the row of the CPU has
        (256, 10_000, (2048, 10240)),
        (1024, 2048, (1024, 2048)),
        (3072, 6144, (4096, 8192)),
        (1024, 30720, (4096, 30720)),
        (1024, 30721, (8192, 32768)),
        (4097, 1, (8192, 16384)),
        (8192, 16385, (8192, 20480)),
        (1, 61441, (16384, 65536)),
        (16384, 122880, (16384, 122880)),
    ],
)
def test_the_smallest_size_that_holds_both(
    cpu: int, memory: int, expected: tuple[int, int]
) -> None:
    assert smallest_size(cpu, memory) == expected


@settings(deadline=None)
@given(
    cpu=st.integers(1, 16384),
    memory=st.integers(1, 122880),
    vcpu_hour=st.floats(0, 10),
    gb_hour=st.floats(0, 10),
)
def test_no_size_that_holds_both_is_cheaper(
    cpu: int, memory: int, vcpu_hour: float, gb_hour: float
) -> None:
    rates = Rates(vcpu_hour, gb_hour, "the test", "2026-11")
    chosen = smallest_size(cpu, memory, rates)
    assert chosen in SIZES
    assert chosen.cpu >= cpu
    assert chosen.memory >= memory
    for other in SIZES:
        if other.cpu >= cpu and other.memory >= memory:
            assert rates.exact(*chosen) <= rates.exact(*other)


def test_equally_cheap_sizes_are_taken_from_below() -> None:
    free = Rates(0, 0, "the test", "2026-11")
    assert smallest_size(256, 2048, free) == (256, 2048)


def test_the_rates_of_another_architecture_are_taken() -> None:
    assert smallest_size(600, 600, PUBLISHED[ARM64]) == (1024, 2048)


@pytest.mark.parametrize(("cpu", "memory"), [(16385, 1), (1, 122881), (20000, 200_000)])
def test_what_no_size_holds_is_refused_with_the_most_there_is(cpu: int, memory: int) -> None:
    message = r"No Fargate task holds .*16384 CPU units \(16 vCPU\).*122880 MiB \(120 GiB\)"
    with pytest.raises(InvalidValueError, match=message):
        smallest_size(cpu, memory)


@pytest.mark.parametrize(("cpu", "memory"), [(0, 512), (256, 0), (-1, 512)])
def test_nothing_is_no_size(cpu: int, memory: int) -> None:
    with pytest.raises(InvalidValueError, match="at least 1"):
        smallest_size(cpu, memory)


def test_a_half_unit_is_no_number_of_units() -> None:
    with pytest.raises(InvalidTypeError, match=r"cpu must be a whole number .* not 256\.5"):
        smallest_size(256.5, 512)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "vcpus", "gigabytes", "shown"),
    [
        (FargateSize(256, 512), 0.25, 0.5, "0.25 vCPU, 512 MiB"),
        (FargateSize(4096, 8192), 4, 8, "4 vCPU, 8 GB"),
        (FargateSize(512, 1024), 0.5, 1, "0.5 vCPU, 1 GB"),
    ],
)
def test_a_size_in_words(size: FargateSize, vcpus: float, gigabytes: float, shown: str) -> None:
    assert (size.vcpus, size.gigabytes, str(size)) == (vcpus, gigabytes, shown)


@pytest.mark.parametrize(
    ("what", "cpu", "memory", "message"),
    [
        ("worker", 16385, 512, r"worker_cpu=16385 asks for 16\.\d+ vCPU.*at most worker_cpu=16384"),
        ("server", 32768, 512, r"server_cpu=32768 asks for 32 vCPU.*at most 16:"),
        ("worker", 256, 122881, r"worker_memory=122881 .*at most 120: .*worker_memory=122880\."),
        ("server", 256, 204800, r"server_memory=204800 asks for 200 GiB"),
    ],
)
def test_hardware_that_no_task_has_is_refused(
    what: str, cpu: int, memory: int, message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        check_hardware(what, DockerHardware(cpu=cpu, memory=memory))


@pytest.mark.parametrize(("cpu", "memory"), [(16384, 122880), (1, 1), (16384, 1), (1, 122880)])
def test_the_bounds_themselves_are_taken(cpu: int, memory: int) -> None:
    check_hardware("worker", DockerHardware(cpu=cpu, memory=memory))


@pytest.mark.parametrize("wrong", [-0.1, float("inf"), float("nan")])
def test_a_rate_must_be_an_amount(wrong: float) -> None:
    with pytest.raises(InvalidValueError, match="vcpu_hour must be 0 or more and finite"):
        Rates(wrong, 0.1, "the test", "2026-11")
    with pytest.raises(InvalidValueError, match="gb_hour must be 0 or more and finite"):
        Rates(0.1, wrong, "the test", "2026-11")


def test_a_rate_must_be_a_number() -> None:
    with pytest.raises(InvalidTypeError, match=r"gb_hour must be a number, not '1' of type str\."):
        Rates(0.1, "1", "the test", "2026-11")  # type: ignore[arg-type]
