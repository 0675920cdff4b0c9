"""The suite is itself tested: the in-memory pair passes, and each broken one is caught.

A mutant must be caught by the check that guards the promise it breaks, and by none before it; and
were that check disabled, the mutant's test would fail.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from memory_cloud import MemoryCloud
from mutant_runs import outcomes_of, require_caught
from mutation import Mutant

from dockerparallel_conformance import promises_of
from dockerparallel_conformance.general import SUITES

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("mutants_*.py"))
MUTANTS: list[Mutant] = [
    mutant for name in MODULES for mutant in importlib.import_module(name).MUTANTS
]
PROMISES = {promise.number: promise for suite in SUITES for promise in promises_of(suite)}


def test_the_pair_keeps_every_promise(memory_cloud: MemoryCloud) -> None:
    outcomes = list(outcomes_of(memory_cloud.address, Mutant("", timeout=30.0)))
    assert [outcome.number for outcome in outcomes] == list(PROMISES)
    assert {outcome.verdict for outcome in outcomes} == {"passed"}, outcomes
    assert memory_cloud.address.resources() == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught_by_its_guard_first(memory_cloud: MemoryCloud, mutant: Mutant) -> None:
    require_caught(memory_cloud.address, mutant)


@pytest.mark.parametrize("number", PROMISES)
def test_a_disabled_check_is_noticed(
    memory_cloud: MemoryCloud, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise = PROMISES[number]
    (suite,) = [suite for suite in SUITES if promise in promises_of(suite)]

    def disabled(_self: Any, _subject: Any) -> None:
        return

    disabled.promise = promise  # type: ignore[attr-defined]
    monkeypatch.setattr(suite, promise.check, disabled)
    mutants = [mutant for mutant in MUTANTS if mutant.guard == number]
    assert mutants, f"no mutant breaks {number} {promise.title}"
    for mutant in mutants:
        with pytest.raises(AssertionError, match="was not caught"):
            require_caught(memory_cloud.address, mutant, only={number})
