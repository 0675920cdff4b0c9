"""A check that is overridden proves nothing: the suite refuses it, unless the author says why."""

from __future__ import annotations

from typing import Any

import pytest

from dockerparallel_conformance import (
    ContainerConformance,
    OverriddenCheckError,
    ProviderConformance,
    promises_of,
)
from dockerparallel_conformance.fixtures import refuse_overrides


@pytest.mark.parametrize("suite", [ProviderConformance, ContainerConformance])
def test_every_check_is_guarded_against_overriding(suite: type[Any]) -> None:
    for promise in promises_of(suite):
        with pytest.raises(OverriddenCheckError, match=promise.check):
            type("TestMine", (suite,), {promise.check: lambda self, subject: None})


def test_a_check_cannot_be_removed() -> None:
    with pytest.raises(OverriddenCheckError, match="test_p01"):
        type("TestMine", (ProviderConformance,), {"test_p01_constructing_touches_nothing": None})


def test_an_override_in_a_mixin_is_seen() -> None:
    class Mixin:
        def test_p01_constructing_touches_nothing(self, subject: object) -> None: ...

    with pytest.raises(OverriddenCheckError, match="test_p01"):
        type("TestMine", (Mixin, ProviderConformance), {})


def test_an_xfail_mark_with_a_reason_explains_an_override() -> None:
    @pytest.mark.xfail(reason="the platform keeps nothing apart")
    def check(self: object, subject: object) -> None: ...

    type("TestMine", (ProviderConformance,), {"test_p01_constructing_touches_nothing": check})


def test_an_xfail_mark_without_a_reason_explains_nothing() -> None:
    @pytest.mark.xfail
    def check(self: object, subject: object) -> None: ...

    with pytest.raises(OverriddenCheckError, match="reason"):
        type("TestMine", (ProviderConformance,), {"test_p01_constructing_touches_nothing": check})


def test_a_check_that_is_replaced_later_is_seen_when_checks_run() -> None:
    class Mine(ProviderConformance):
        pass

    refuse_overrides(Mine)
    Mine.test_p01_constructing_touches_nothing = lambda self, subject: None  # type: ignore[method-assign]
    with pytest.raises(OverriddenCheckError, match="Mine overrides test_p01"):
        refuse_overrides(Mine)


def test_fixtures_and_further_tests_are_free() -> None:
    class Mine(ProviderConformance):
        @pytest.fixture
        def worker_number(self) -> int:
            return 7

        def test_of_my_own(self) -> None: ...

    refuse_overrides(Mine)
