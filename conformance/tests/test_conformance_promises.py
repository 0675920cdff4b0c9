"""The promises are numbered, described, and complete."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dockerparallel import Capability
from dockerparallel_conformance import ContainerConformance, ProviderConformance, promises_of
from dockerparallel_conformance.promises import promise

SUITES = {"P": ProviderConformance, "C": ContainerConformance}


@pytest.mark.parametrize("letter", SUITES)
def test_the_numbers_have_no_gap_and_are_those_of_the_methods(letter: str) -> None:
    promises = promises_of(SUITES[letter])
    numbers = [guarded.number for guarded in promises]
    assert numbers == [f"{letter}-{place}" for place in range(1, len(numbers) + 1)]
    for place, guarded in enumerate(promises, start=1):
        assert guarded.check.startswith(f"test_{letter.lower()}{place:02}_")


@pytest.mark.parametrize("letter", SUITES)
def test_each_promise_is_told_in_a_line_and_has_help(letter: str) -> None:
    for guarded in promises_of(SUITES[letter]):
        assert 10 < len(guarded.title) <= 72, guarded
        assert re.match(r"[A-Z].*[^.]$", guarded.title), guarded
        assert len(guarded.troubleshooting) > 30, guarded


@pytest.mark.parametrize("letter", SUITES)
def test_no_check_is_there_without_a_promise(letter: str) -> None:
    named = {guarded.check for guarded in promises_of(SUITES[letter])}
    methods = {name for name in dir(SUITES[letter]) if name.startswith("test_")}
    assert methods == named


def test_every_capability_has_a_promise() -> None:
    bound = {guarded.capability for suite in SUITES.values() for guarded in promises_of(suite)}
    assert bound >= set(Capability)


def test_a_check_without_a_paragraph_of_help_is_refused() -> None:
    def test_p99_something(self: Any, subject: Any) -> None:
        """Promise something."""

    with pytest.raises(TypeError, match="test_p99_something"):
        promise("P-99")(test_p99_something)
