"""Which containers are killed, against every possible choice."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from dockerparallel_managed_provider.selection import Container, choose


def containers_of(counts: Sequence[int], initializing: Sequence[bool]) -> list[Container]:
    pairs = zip(counts, initializing, strict=True)
    return [Container(f"c{number}", *pair) for number, pair in enumerate(pairs)]


def workers_in(containers: Sequence[Container], handles: Sequence[str]) -> int:
    counts = {container.handle: container.workers for container in containers}
    assert len(set(handles)) == len(handles)
    return sum(counts[handle] for handle in handles)


def best_by_trial(containers: Sequence[Container], number: int) -> tuple[int, int]:
    """Return the most workers, and the most initializing ones then, over all choices."""
    best = (0, 0)
    for size in range(len(containers) + 1):
        for chosen in itertools.combinations(containers, size):
            total = sum(item.workers for item in chosen)
            if total <= number:
                starting = sum(item.workers for item in chosen if item.initializing)
                best = max(best, (total, starting))
    return best


@pytest.mark.parametrize("seed", range(100))
def test_no_choice_is_better_than_the_one_made(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - only numbers to try
    size = chance.randint(0, 9)
    largest = chance.choice([1, 2, 3, 5, 9, 40])
    counts = [chance.randint(1, largest) for _ in range(size)]
    containers = containers_of(counts, [chance.random() < 0.4 for _ in range(size)])
    for number in {0, 1, sum(counts), *(chance.randint(0, sum(counts) + 3) for _ in range(5))}:
        handles = choose(containers, number)
        starting = [c for c in containers if c.initializing and c.handle in handles]
        made = (workers_in(containers, handles), sum(c.workers for c in starting))
        assert made == best_by_trial(containers, number), (containers, number)


@pytest.mark.parametrize("seed", range(20))
def test_of_equal_containers_the_newest_go_first(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - only numbers to try
    size = chance.randint(1, 30)
    containers = containers_of(
        [chance.randint(1, 3) for _ in range(size)], [chance.random() < 0.5 for _ in range(size)]
    )
    number = chance.randint(0, sum(container.workers for container in containers))
    chosen = set(choose(containers, number))
    for kind in {container[1:] for container in containers}:
        went = [item.handle in chosen for item in containers if item[1:] == kind]
        assert went == sorted(went), "an older one went while a newer one stayed"


def test_containers_that_initialize_go_before_those_that_run() -> None:
    containers = containers_of([1, 1, 1, 1], [True, False, True, False])
    assert set(choose(containers, 3)) == {"c0", "c2", "c3"}


def test_initializing_containers_stay_where_running_ones_fit_better() -> None:
    containers = containers_of([3, 2, 2], [True, False, False])
    assert set(choose(containers, 4)) == {"c1", "c2"}


def test_a_container_that_is_too_large_stays() -> None:
    assert choose(containers_of([4, 4], [False, False]), 3) == []


@pytest.mark.parametrize(
    ("counts", "number", "expected"),
    [
        pytest.param([1] * 10_000, 5_000, 5_000, id="all-alike"),
        pytest.param([1 + n % 64 for n in range(10_000)], 160_001, 160_001, id="64-counts"),
        pytest.param([2 + 2 * (n % 64) for n in range(10_000)], 300_001, 300_000, id="even"),
        pytest.param([3**8] * 5_000 + [3**7] * 5_000, 10_000_000, 9_998_964, id="powers"),
        pytest.param(list(range(1, 1_001)), 250_000, 250_000, id="all-different"),
        pytest.param([97, 89, 83, 79] * 2_500, 400_001, 400_001, id="primes"),
    ],
)
def test_many_containers(counts: list[int], number: int, expected: int) -> None:
    chance = random.Random(number)  # noqa: S311 - only numbers to try
    containers = containers_of(counts, [chance.random() < 0.2 for _ in counts])
    assert workers_in(containers, choose(containers, number)) == expected
