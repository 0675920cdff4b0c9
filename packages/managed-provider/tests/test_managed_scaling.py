"""Growing, shrinking and counting by handles, on a platform in memory."""

from __future__ import annotations

import dataclasses
import logging

import pytest
from managed_fakes import FakeProvider, Platform, make_cluster

from dockerparallel import DockerCluster, Status, WorkerNumbers, WorkersSurvivedError
from dockerparallel_managed_provider import ManagedCloudProvider


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def cluster(platform: Platform) -> DockerCluster:
    return make_cluster(FakeProvider(platform))


def provider_of(cluster: DockerCluster) -> ManagedCloudProvider:
    provider = cluster.state.provider
    assert isinstance(provider, ManagedCloudProvider)
    return provider


def test_what_is_missing_is_started(cluster: DockerCluster, platform: Platform) -> None:
    cluster.set_worker_number(3)
    cluster.set_worker_number(5)
    assert platform.called("run") == [["3"], ["2"]]
    assert provider_of(cluster).worker_handles() == ["c1", "c2", "c3", "c4", "c5"]


def test_the_wanted_number_asks_for_nothing(cluster: DockerCluster, platform: Platform) -> None:
    cluster.set_worker_number(3)
    cluster.set_worker_number(3)
    assert len(platform.called("run")) == 1
    assert not platform.called("kill")


def test_dead_containers_are_dropped_and_replaced(
    cluster: DockerCluster, platform: Platform
) -> None:
    cluster.set_worker_number(3)
    platform.containers["c2"] = Status.STOPPED
    del platform.containers["c3"]
    cluster.update()
    assert provider_of(cluster).worker_handles() == ["c1", "c4", "c5"]


def test_dead_containers_do_not_count_when_shrinking(
    cluster: DockerCluster, platform: Platform
) -> None:
    cluster.set_worker_number(4)
    platform.containers["c1"] = Status.STOPPED
    cluster.set_worker_number(3)
    assert not platform.called("kill")
    assert provider_of(cluster).worker_handles() == ["c2", "c3", "c4"]


def test_handles_are_repeated_per_worker_and_given_once(
    cluster: DockerCluster, platform: Platform
) -> None:
    platform.per_container = 2
    cluster.set_worker_number(5)
    assert provider_of(cluster).worker_handles() == ["c1", "c1", "c2", "c2", "c3"]
    cluster.set_worker_number(1)
    assert platform.called("kill") == [["c2", "c1"]]
    cluster.stop()
    assert all(len(set(handles)) == len(handles) for _, handles in platform.calls)
    assert not platform.containers


def test_whole_containers_go_and_never_too_many(cluster: DockerCluster, platform: Platform) -> None:
    platform.per_container = 4
    cluster.set_worker_number(8)
    cluster.set_worker_number(5)
    assert not platform.called("kill")
    cluster.set_worker_number(4)
    assert platform.called("kill") == [["c2"]]


def test_containers_that_initialize_go_first(cluster: DockerCluster, platform: Platform) -> None:
    cluster.set_worker_number(3)
    platform.set_all(Status.RUNNING)
    platform.containers["c1"] = Status.INITIALIZING
    cluster.set_worker_number(1)
    assert platform.called("kill") == [["c1", "c3"]]


def test_to_end_all_the_platform_is_asked_for_nothing_else(
    cluster: DockerCluster, platform: Platform
) -> None:
    cluster.set_worker_number(3)
    platform.calls.clear()
    provider = provider_of(cluster)
    state = cluster.state
    container, hardware = state.worker_container, state.config.worker_hardware
    provider.set_worker_number(cluster, container, hardware, 0)
    assert platform.calls == [("kill", ["c1", "c2", "c3"])]


def test_workers_are_counted_by_status(cluster: DockerCluster, platform: Platform) -> None:
    platform.per_container = 2
    cluster.set_worker_number(6)
    platform.containers.update({"c1": Status.RUNNING, "c2": Status.STOPPED})
    platform.calls.clear()
    assert cluster.worker_numbers() == WorkerNumbers(2, 2, 6)
    assert platform.calls == [("status", ["c1", "c2", "c3"])]


def test_without_workers_the_platform_is_asked_nothing(
    cluster: DockerCluster, platform: Platform
) -> None:
    cluster.set_worker_number(0)
    provider = provider_of(cluster)
    assert cluster.worker_numbers() == WorkerNumbers(0, 0, 0)
    assert provider.worker_names(cluster) == []
    assert provider.is_worker_running(cluster, []) == []
    assert platform.calls == []


def test_a_handle_whose_kill_failed_stays_with_a_warning(
    cluster: DockerCluster, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.set_worker_number(3)
    platform.immortal = {"c2"}
    with caplog.at_level(logging.WARNING, "dockerparallel"):
        cluster.set_worker_number(0)
    assert provider_of(cluster).worker_handles() == ["c2"]
    assert "could not be killed and stay known: c2" in caplog.text
    with pytest.raises(WorkersSurvivedError, match="c2"):
        cluster.stop()
    platform.immortal.clear()
    cluster.stop()
    assert not platform.containers


def test_killing_dead_and_unknown_handles_succeeds(
    cluster: DockerCluster, platform: Platform
) -> None:
    cluster.set_worker_number(2)
    provider_of(cluster).add_worker_handles(["never-was"])
    platform.containers.clear()
    cluster.set_worker_number(0)
    assert provider_of(cluster).worker_handles() == []


def test_the_status_of_one_kind_comes_from_worker_status(
    cluster: DockerCluster, platform: Platform
) -> None:
    provider = provider_of(cluster)
    platform.containers = {"a": Status.INITIALIZING, "b": Status.RUNNING}
    handles = ["a", "b", "gone"]
    assert provider.is_worker_initializing(cluster, handles) == [True, False, False]
    assert provider.is_worker_running(cluster, handles) == [False, True, False]
    assert provider.is_worker_stopped(cluster, handles) == [False, False, True]


def test_a_faster_way_to_find_the_dead_is_used(platform: Platform) -> None:
    class Faster(FakeProvider):
        def is_worker_stopped(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
            return [handle == "c1" for handle in handles]

    cluster = make_cluster(Faster(platform))
    cluster.set_worker_number(2)
    cluster.update()
    assert provider_of(cluster).worker_handles() == ["c2", "c3"]


def test_copies_have_their_own_handles(platform: Platform) -> None:
    original = FakeProvider(platform)
    original.add_worker_handles(["a"])
    copy = original.copy()
    copy.add_worker_handles(["b"])
    copy.remove_worker_handles(["a"])
    assert original.worker_handles() == ["a"]
    assert copy.worker_handles() == ["b"]
    assert FakeProvider(platform).worker_handles() == []


def test_a_provider_may_be_a_frozen_dataclass(platform: Platform) -> None:
    @dataclasses.dataclass(frozen=True)
    class Frozen(FakeProvider):
        platform: Platform

    provider = Frozen(platform)
    provider.add_worker_handles(["a", "a"])
    assert provider.worker_handles() == ["a", "a"]


def test_ten_thousand_containers_are_halved(cluster: DockerCluster, platform: Platform) -> None:
    cluster.set_worker_number(10_000)
    platform.set_all(Status.RUNNING)
    platform.calls.clear()
    cluster.set_worker_number(5_000)
    assert len(platform.containers) == 5_000
    assert [name for name, _ in platform.calls] == ["status", "status", "kill", "status"]
    cluster.stop()
