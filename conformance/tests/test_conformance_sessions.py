"""The sessions of other processes that the suite starts, and what becomes of their clusters."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from typing import Any

import pytest
from memory_cloud import CloudAddress, MemoryCloud
from memory_provider import MemoryProvider
from mutant_runs import outcomes_of
from mutants_sessions import LosesTheEnvironment
from mutation import Mutant

from dockerparallel import ProviderError
from dockerparallel.config import CloudConfig
from dockerparallel_conformance import ConformanceWarning, Outcome
from dockerparallel_conformance.subject import make_unlike

LEFT = ["P-42", "P-43", "P-44", "P-45"]


class AtHome(MemoryProvider):
    """Does otherwise in another process than the one that made it."""

    def __init__(self, cloud: CloudAddress) -> None:
        super().__init__(cloud)
        self.home = os.getpid()

    @property
    def is_at_home(self) -> bool:
        return self.home == os.getpid()


class FailsElsewhere(AtHome):
    def run_server(self, *args: Any) -> None:
        if not self.is_at_home:
            raise ProviderError("no quota is left in that region")
        super().run_server(*args)


class HangsElsewhere(AtHome):
    """Waits for ever once its server runs, and drops what interrupts it."""

    def run_worker_containers(self, *args: Any) -> list[str]:
        while not self.is_at_home:
            with contextlib.suppress(BaseException):
                time.sleep(60)
        return super().run_worker_containers(*args)


def outcomes(
    cloud: CloudAddress, provider: type[MemoryProvider], only: list[str], timeout: float = 20.0
) -> dict[str, Outcome]:
    """Run some checks and return their outcomes by number, with nothing left on the platform."""
    found = list(outcomes_of(cloud, Mutant("", provider, timeout=timeout), only))
    assert cloud.resources() == []
    return {outcome.number: outcome for outcome in found}


def test_a_forked_child_stands_for_a_session_where_objects_cannot_be_pickled(
    memory_cloud: MemoryCloud,
) -> None:
    class LocalProvider(MemoryProvider):
        pass

    found = outcomes(memory_cloud.address, LocalProvider, ["P-41", *LEFT])
    assert found["P-41"].verdict == "skipped"
    assert "LocalProvider" in found["P-41"].reason
    assert [found[number].verdict for number in LEFT] == ["passed"] * 4, found
    assert found["P-42"].reason.startswith("in a forked child, since a fresh interpreter cannot")


@pytest.mark.parametrize("number", ["P-41", "P-42"])
def test_a_session_that_fails_is_told_with_what_it_printed(
    memory_cloud: MemoryCloud, number: str
) -> None:
    outcome = outcomes(memory_cloud.address, FailsElsewhere, [number])[number]
    assert outcome.verdict == "failed"
    assert "ended with exit code 1" in outcome.reason
    assert "no quota is left in that region" in outcome.reason


@pytest.mark.parametrize("number", ["P-41", "P-42"])
def test_a_session_that_hangs_is_ended_and_what_it_started_too(
    memory_cloud: MemoryCloud, number: str
) -> None:
    outcome = outcomes(memory_cloud.address, HangsElsewhere, [number], timeout=3.0)[number]
    assert outcome.verdict == "failed"
    assert "had not ended after" in outcome.reason


def test_a_forked_child_that_fails_is_told(memory_cloud: MemoryCloud) -> None:
    class FailsInAChild(FailsElsewhere):
        pass

    outcome = outcomes(memory_cloud.address, FailsInAChild, ["P-42"])["P-42"]
    assert outcome.verdict == "failed"
    assert "no quota is left in that region" in outcome.reason


def test_what_was_left_is_ended_where_a_check_fails(memory_cloud: MemoryCloud) -> None:
    found = outcomes(memory_cloud.address, LosesTheEnvironment, LEFT)
    assert found["P-43"].verdict == "failed"
    assert found["P-45"].verdict == "passed", "it starts another one"


def test_what_cannot_be_taken_over_is_warned_of(memory_cloud: MemoryCloud) -> None:
    class CannotReconnect(MemoryProvider):
        def reconnect(self, cluster: Any) -> None:
            raise ProviderError("the list of clusters is on strike")

    run = outcomes_of(memory_cloud.address, Mutant("", CannotReconnect), ["P-43"])
    with pytest.warns(ConformanceWarning, match="could not be taken over: the list of clusters"):
        (outcome,) = run
    assert outcome.verdict == "failed"
    memory_cloud.address.reset()


def test_the_handle_that_reconnects_differs_in_every_setting() -> None:
    config = CloudConfig()
    before = config.static_data()
    make_unlike(config)
    after = config.static_data()
    same = {name for name in before if before[name] == after[name]}
    # A password is random; the name and the number are what a handle has by itself.
    assert same == {"format", "job_queue_name", "expected_worker_number", "server_password"}


def test_no_warning_escapes_a_check_that_drops_its_handle(memory_cloud: MemoryCloud) -> None:
    class CannotStop(MemoryProvider):
        def stop_server(self, cluster: Any) -> None:
            if cluster.state.stopped:
                raise ProviderError("no")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(outcomes_of(memory_cloud.address, Mutant("", CannotStop), ["P-12"]))
    assert [item.category for item in caught] == [ConformanceWarning]
    memory_cloud.address.reset()
