"""What happens when the platform fails, or a provider answers nonsense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from managed_fakes import FakeProvider, Platform, make_cluster

from dockerparallel import (
    DockerCluster,
    InvalidTypeError,
    InvalidValueError,
    ProviderError,
)


@pytest.fixture
def platform() -> Platform:
    return Platform()


Break = Callable[[str, Callable[..., Any]], DockerCluster]


@pytest.fixture
def broken(platform: Platform) -> Break:
    """Make a cluster whose provider has one method replaced."""

    def make(method: str, replacement: Callable[..., Any]) -> DockerCluster:
        changed = type("Broken", (FakeProvider,), {method: replacement})
        provider = changed(platform)
        assert isinstance(provider, FakeProvider)
        return make_cluster(provider)

    return make


def handles_of(cluster: DockerCluster) -> list[str]:
    provider = cluster.state.provider
    assert isinstance(provider, FakeProvider)
    return provider.worker_handles()


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "b", "c", "d"], ["a", "b", "c", "d"]),
        (["a", 7, "c"], ["a", "c"]),
        (["a", "", "c"], ["a", "c"]),
        (None, []),
        ("abc", []),
    ],
)
def test_wrong_handles_are_refused_and_what_runs_stays_known(
    broken: Break, answer: Any, known: list[str]
) -> None:
    cluster = broken("run_worker_containers", lambda *_: answer)
    with pytest.raises(ProviderError, match=r"Broken\.run_worker_containers\(\)") as caught:
        cluster.set_worker_number(3)
    assert repr(answer) in str(caught.value)
    assert handles_of(cluster) == known
    cluster.stop()


def test_a_start_that_fails_half_way_leaves_what_it_noted(
    broken: Break, platform: Platform
) -> None:
    def run(self: FakeProvider, *_: object) -> list[str]:
        self.add_worker_handles(self.platform.run(2))
        raise OSError("out of capacity")

    cluster = broken("run_worker_containers", run)
    with pytest.raises(OSError, match="out of capacity"):
        cluster.set_worker_number(5)
    assert handles_of(cluster) == ["c1", "c2"]
    cluster.stop()
    assert not platform.containers


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (["running"], r"1 item\(s\) for 2 handle\(s\)"),
        (["running", "asleep"], "'asleep' for the handle 'c2'"),
        ("ok", "must be a list"),
    ],
)
def test_wrong_statuses_are_refused(broken: Break, answer: Any, text: str) -> None:
    cluster = broken("worker_status", lambda *_: answer)
    with pytest.raises(ProviderError, match=text):
        cluster.set_worker_number(2)
    assert handles_of(cluster) == ["c1", "c2"]


def test_statuses_may_be_plain_strings(broken: Break) -> None:
    cluster = broken("worker_status", lambda _self, _cluster, handles: ["running"] * len(handles))
    cluster.set_worker_number(2)
    assert cluster.worker_numbers().running == 2


@pytest.mark.parametrize("answer", [[True], [True, None], None, [1, 1]])
def test_wrong_answers_of_a_kill_are_refused_and_nothing_is_forgotten(
    broken: Break, answer: Any
) -> None:
    cluster = broken("kill_worker_containers", lambda *_: answer)
    cluster.set_worker_number(2)
    with pytest.raises(ProviderError, match=r"Broken\.kill_worker_containers\(\)"):
        cluster.set_worker_number(0)
    assert handles_of(cluster) == ["c1", "c2"]


def test_wrong_flags_are_refused(broken: Break) -> None:
    cluster = broken("is_worker_stopped", lambda *_: ["no", "no"])
    cluster.set_worker_number(2)
    with pytest.raises(ProviderError, match=r"is_worker_stopped\(\) gave 'no'"):
        cluster.update()


def test_an_error_of_a_kill_forgets_nothing(broken: Break) -> None:
    def kill(self: FakeProvider, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        raise ConnectionError("no route")

    cluster = broken("kill_worker_containers", kill)
    cluster.set_worker_number(2)
    with pytest.raises(ConnectionError):
        cluster.set_worker_number(0)
    assert handles_of(cluster) == ["c1", "c2"]


def test_handles_that_cannot_be_are_refused(platform: Platform) -> None:
    provider = FakeProvider(platform)
    with pytest.raises(InvalidTypeError, match=r"write \['abc'\]"):
        provider.add_worker_handles("abc")
    with pytest.raises(InvalidTypeError, match="not 7"):
        provider.add_worker_handles(["a", 7])  # type: ignore[list-item]
    with pytest.raises(InvalidValueError, match="empty"):
        provider.add_worker_handles(["a", ""])
    assert provider.worker_handles() == []
