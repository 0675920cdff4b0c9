"""Starting, updating, stopping: the order of calls, and what happens when one fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from core_fakes import MemoryContainer, MemoryProvider, MinimalProvider, Platform

from dockerparallel import (
    ClusterRunningError,
    DockerCluster,
    ExternalServer,
    ServerNotRunningError,
    Status,
    WaitTimeoutError,
    WorkerNumbers,
    WorkersSurvivedError,
)

Make = Callable[..., DockerCluster]


def calls_of(cluster: DockerCluster) -> list[str]:
    provider: Any = cluster.state.provider
    return [call for call in provider.calls if call != "server_status"]


def test_constructing_touches_nothing(cluster: DockerCluster, platform: Platform) -> None:
    assert calls_of(cluster) == []
    assert platform.servers == {}
    assert "not running" in repr(cluster)
    assert calls_of(cluster) == []


def test_start_calls_in_order(cluster: DockerCluster, fresh_notes: list[str]) -> None:
    cluster.start()
    assert calls_of(cluster) == [
        "initialize",
        "run_server",
        "server_address",
        "set_worker_number(3)",
    ]
    assert fresh_notes == ["configure_server_env", "configure_worker_env", "register"]
    assert cluster.worker_numbers() == WorkerNumbers(0, 3, 3)
    assert cluster.runtime.server_public_ip == "1.2.3.4"
    assert cluster.runtime.server_private_port == 9999


def test_starting_a_running_cluster_starts_no_second_server(cluster: DockerCluster) -> None:
    cluster.start()
    cluster.start(if_exists="error")
    assert calls_of(cluster).count("initialize") == 1
    assert calls_of(cluster).count("run_server") == 1


def test_stop_keeps_the_expected_number_and_start_works_again(cluster: DockerCluster) -> None:
    cluster.start()
    cluster.stop()
    assert calls_of(cluster)[-3:] == ["set_worker_number(0)", "stop_server", "cleanup(deep=False)"]
    assert cluster.worker_numbers() == WorkerNumbers(0, 0, 3)
    cluster.start()
    assert cluster.worker_numbers() == WorkerNumbers(0, 3, 3)
    assert calls_of(cluster).count("initialize") == 1


def test_stopping_twice_and_updating_after_it_do_nothing(cluster: DockerCluster) -> None:
    cluster.stop()
    cluster.start()
    cluster.stop()
    before = calls_of(cluster)
    cluster.stop()
    cluster.update()
    assert calls_of(cluster) == before


def test_the_users_objects_are_not_changed(platform: Platform, make_cluster: Make) -> None:
    container = MemoryContainer(image="worker-image", environment={"MINE": "1", "PORT": "7"})
    provider = MemoryProvider(platform)
    cluster = make_cluster(provider=provider, worker_container=container)
    cluster.start()
    deployed, hardware = cluster.state.provider.seen["worker"]  # type: ignore[attr-defined]
    assert deployed.environment == {
        "MINE": "1",
        "PORT": "7",
        "SERVER": "10.0.0.4:9999",
        "WORKERS": "1",
    }
    assert hardware.cpu == 1024
    assert container == MemoryContainer(
        image="worker-image", environment={"MINE": "1", "PORT": "7"}
    )
    assert provider.calls == []


def test_a_later_change_of_the_users_objects_does_not_reach_the_cluster(
    platform: Platform, make_cluster: Make
) -> None:
    worker, server = MemoryContainer(image="worker"), MemoryContainer(image="server")
    cluster = make_cluster(worker_container=worker, server_container=server)
    worker.environment["A"] = server.environment["A"] = "late"
    assert cluster.state.worker_container.environment == {}
    assert cluster.state.server_container is not None
    assert cluster.state.server_container.environment == {}


def test_a_server_whose_start_failed_half_way_is_stopped(
    platform: Platform, make_cluster: Make
) -> None:
    cluster = make_cluster(provider=MemoryProvider(platform, fail=("server_address",)))
    with pytest.raises(RuntimeError, match="server_address failed"):
        cluster.start_server()
    assert platform.servers == {}
    assert calls_of(cluster)[-1] == "stop_server"


def test_after_a_failed_initialization_there_is_nothing_to_stop(
    platform: Platform, make_cluster: Make
) -> None:
    cluster = make_cluster(provider=MemoryProvider(platform, fail=("initialize",)))
    with pytest.raises(RuntimeError, match="initialize failed"):
        cluster.start_server()
    cluster.stop()
    assert calls_of(cluster) == ["initialize"]
    cluster.state.provider.fail = ()  # type: ignore[attr-defined]
    assert not cluster.exists()
    cluster.stop()
    assert calls_of(cluster) == ["initialize", "initialize"], "it cleaned up what it never started"


def test_updating_after_a_failed_stop_starts_nothing(
    platform: Platform, make_cluster: Make
) -> None:
    provider = MemoryProvider(platform, fail=("cleanup(deep=False)",))
    cluster = make_cluster(provider=provider, private_server=ExternalServer("9.9.9.9"))
    cluster.start()
    with pytest.raises(RuntimeError, match="cleanup"):
        cluster.stop()
    cluster.update()
    assert cluster.worker_numbers().running == 0
    cluster.state.provider.fail = ()  # type: ignore[attr-defined]
    cluster.stop()


def test_the_server_gets_its_hardware_secret_and_context(cluster: DockerCluster) -> None:
    cluster.start_server()
    container, hardware, was_current = cluster.state.provider.seen["server"]  # type: ignore[attr-defined]
    assert (container.image, hardware.cpu, was_current) == ("server-image", 256, True)
    assert container.secrets == {"PASSWORD": cluster.config.server_password}


def test_set_worker_number_waits_for_a_server(cluster: DockerCluster) -> None:
    cluster.set_worker_number(5)
    assert calls_of(cluster) == []
    cluster.start()
    assert cluster.worker_numbers().running == 5
    cluster.set_worker_number(2)
    assert cluster.worker_numbers() == WorkerNumbers(0, 2, 2)
    cluster.set_worker_number(0)
    assert cluster.worker_numbers() == WorkerNumbers(0, 0, 0)


def test_update_brings_dead_workers_back(cluster: DockerCluster, platform: Platform) -> None:
    cluster.start()
    platform.workers[cluster.config.job_queue_name] = 1
    assert cluster.worker_numbers().running == 1
    cluster.update()
    assert cluster.worker_numbers().running == 3


def test_update_with_a_dead_server_starts_nothing(
    cluster: DockerCluster, platform: Platform
) -> None:
    cluster.start()
    platform.servers.clear()
    platform.workers[cluster.config.job_queue_name] = 1
    before = calls_of(cluster)
    cluster.update()
    assert calls_of(cluster) == before
    assert cluster.runtime.server_public_ip is None
    assert not cluster.is_server_running()


def test_workers_shrink_and_stop_although_the_server_died(
    cluster: DockerCluster, platform: Platform
) -> None:
    cluster.start()
    platform.servers.clear()
    cluster.set_worker_number(1)
    assert calls_of(cluster)[-1] == "set_worker_number(1)"
    cluster.set_worker_number(9)
    assert calls_of(cluster)[-1] == "set_worker_number(1)"
    cluster.stop()
    assert calls_of(cluster)[-3:] == ["set_worker_number(0)", "stop_server", "cleanup(deep=False)"]


@pytest.mark.parametrize(
    "failing", ["run_server", "server_address", "set_worker_number(3)", "register"]
)
def test_a_failed_start_leaves_nothing(
    failing: str,
    platform: Platform,
    make_cluster: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(MemoryContainer, "fail", (failing,))
    cluster = make_cluster(provider=MemoryProvider(platform, fail=(failing,)), worker_number=3)
    with pytest.raises(RuntimeError, match="failed"):
        cluster.start()
    assert platform.servers == {}
    assert not any(platform.workers.values())
    assert calls_of(cluster)[-1] == "cleanup(deep=False)"
    assert cluster.state.provider.cleaned_after_failed_start  # type: ignore[attr-defined]
    assert not cluster.state.starting


def test_a_cleanup_after_a_good_start_takes_back_nothing_else(cluster: DockerCluster) -> None:
    cluster.start()
    cluster.stop()
    assert not cluster.state.provider.cleaned_after_failed_start  # type: ignore[attr-defined]


def test_an_error_while_undoing_is_a_note_on_the_first(
    platform: Platform, make_cluster: Make
) -> None:
    fail = ("set_worker_number(3)", "stop_server")
    cluster = make_cluster(provider=MemoryProvider(platform, fail=fail), worker_number=3)
    with pytest.raises(RuntimeError, match=r"set_worker_number\(3\) failed") as caught:
        cluster.start()
    assert any("stop_server failed" in note for note in caught.value.__notes__)
    assert "cleanup(deep=False)" not in calls_of(cluster)
    cluster.state.provider.fail = ()  # type: ignore[attr-defined]
    cluster.stop()


def test_a_failed_second_start_leaves_the_running_cluster(
    cluster: DockerCluster, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.start()
    monkeypatch.setattr(MemoryContainer, "fail", ("register",))
    with pytest.raises(RuntimeError):
        cluster.start()
    assert platform.servers
    assert cluster.worker_numbers().running == 3


def test_stop_tries_every_step_and_raises_the_first_error(
    platform: Platform, make_cluster: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = make_cluster(provider=MemoryProvider(platform, fail=("stop_server",)))
    cluster.start()
    monkeypatch.setattr(MemoryContainer, "fail", ("deregister",))
    with pytest.raises(RuntimeError, match="deregister failed") as caught:
        cluster.stop()
    assert any("stop_server failed" in note for note in caught.value.__notes__)
    assert platform.workers[cluster.config.job_queue_name] == 0
    cluster.state.provider.fail = ()  # type: ignore[attr-defined]
    cluster.stop()


def test_ignored_errors_become_warnings_with_their_text(
    platform: Platform, make_cluster: Make
) -> None:
    cluster = make_cluster(provider=MemoryProvider(platform, fail=("stop_server",)))
    cluster.start()
    with pytest.warns(RuntimeWarning, match="stop_server failed"):
        cluster.stop(ignore_errors=True)
    cluster.state.provider.fail = ()  # type: ignore[attr-defined]
    cluster.stop()


def test_surviving_workers_are_named_and_nothing_is_cleaned_up(
    platform: Platform, make_cluster: Make
) -> None:
    cluster = make_cluster(provider=MemoryProvider(platform, immortal=2))
    cluster.start()
    with pytest.raises(WorkersSurvivedError, match=r"2 worker.*immortal-0, immortal-1"):
        cluster.stop()
    assert "cleanup(deep=False)" not in calls_of(cluster)
    assert platform.servers == {}
    cluster.state.provider.immortal = 0  # type: ignore[attr-defined]
    cluster.stop()
    assert calls_of(cluster)[-1] == "cleanup(deep=False)"


def test_cleanup_is_refused_while_something_runs(
    cluster: DockerCluster, platform: Platform, make_cluster: Make
) -> None:
    cluster.start()
    with pytest.raises(ClusterRunningError, match=r"server of .* still runs"):
        cluster.cleanup()
    with pytest.raises(ClusterRunningError, match="started elsewhere"):
        make_cluster().cleanup(deep=True)
    platform.servers.clear()
    with pytest.raises(ClusterRunningError, match=r"3 worker\(s\)"):
        cluster.cleanup()
    cluster.stop()
    cluster.cleanup(deep=True)
    assert calls_of(cluster)[-1] == "cleanup(deep=True)"


def test_registering_needs_a_server(cluster: DockerCluster) -> None:
    with pytest.raises(ServerNotRunningError, match=r"cluster.start\(\)"):
        cluster.register_backend()


def test_registering_waits_for_a_server_that_initializes(
    cluster: DockerCluster, platform: Platform, fresh_notes: list[str]
) -> None:
    provider: Any = cluster.state.provider
    provider.first_status = Status.INITIALIZING
    cluster.start_server()
    asked = threading.Event()
    original = provider.server_status

    def status(handle: DockerCluster) -> Status:
        asked.set()
        result: Status = original(handle)
        return result

    provider.server_status = status
    with ThreadPoolExecutor(1) as pool:
        registering = pool.submit(cluster.register_backend)
        assert asked.wait(30)
        assert "register" not in fresh_notes
        platform.servers[cluster.config.job_queue_name] = Status.RUNNING
        registering.result(30)
    assert fresh_notes[-1] == "register"


def test_registering_gives_up_after_the_timeout(cluster: DockerCluster, platform: Platform) -> None:
    cluster.state.provider.first_status = Status.INITIALIZING  # type: ignore[attr-defined]
    cluster.start_server()
    cluster.server_timeout = 0.05
    with pytest.raises(WaitTimeoutError, match=r"still initializing after 0.05 s"):
        cluster.register_backend()
    platform.servers.clear()
    with pytest.raises(ServerNotRunningError, match="stopped before"):
        cluster.register_backend()
    assert not cluster.runtime.has_server


def test_an_external_server_is_left_alone(make_cluster: Make) -> None:
    server = ExternalServer(
        public_ip="9.9.9.9",
        public_port=1,
        private_ip="10.9.9.9",
        password="theirs",
        server_client_same_lan=True,
    )
    cluster = make_cluster(private_server=server, worker_number=2)
    assert cluster.config.server_password == "theirs"
    assert cluster.server_address_for_workers() == ("9.9.9.9", 1)
    assert cluster.server_address_for_client() == ("10.9.9.9", 8888)
    cluster.start()
    assert cluster.is_server_running()
    cluster.start()
    cluster.stop()
    cluster.update()
    provider: Any = cluster.state.provider
    assert provider.calls == [
        "initialize",
        "set_worker_number(2)",
        "set_worker_number(2)",
        "set_worker_number(0)",
        "cleanup(deep=False)",
    ]
    cluster.cleanup()


def test_an_external_worker_uses_the_public_address(
    cluster: DockerCluster, platform: Platform
) -> None:
    with pytest.raises(ServerNotRunningError, match="external worker"):
        cluster.external_worker()
    cluster.start()
    container = cluster.external_worker(4)
    assert container.environment["SERVER"] == "1.2.3.4:8888"
    assert container.environment["WORKERS"] == "4"
    assert cluster.config.server_worker_same_lan
    assert cluster.worker_numbers().running == 3


def test_the_minimal_provider_works(make_cluster: Make) -> None:
    cluster = make_cluster(provider=MinimalProvider(), worker_number=2)
    cluster.start()
    assert cluster.worker_numbers() == WorkerNumbers(0, 2, 2)
    assert not cluster.exists()
    cluster.set_worker_number(5)
    assert cluster.worker_numbers() == WorkerNumbers(0, 5, 5)
    cluster.stop()
    assert cluster.worker_numbers() == WorkerNumbers(0, 0, 5)
    assert cluster.state.provider.asked == 0  # type: ignore[attr-defined]


def test_the_minimal_provider_works_with_an_external_server(make_cluster: Make) -> None:
    cluster = make_cluster(
        provider=MinimalProvider(), private_server=ExternalServer(public_ip="9.9.9.9")
    )
    cluster.start()
    cluster.stop()
    assert cluster.worker_numbers().running == 0


def test_the_context_manager_stops_unless_told_otherwise(
    platform: Platform, make_cluster: Make
) -> None:
    with make_cluster() as cluster:
        assert cluster.is_server_running()
    assert platform.servers == {}
    with make_cluster(stop_on_exit=False):
        pass
    assert platform.servers


def test_an_error_in_the_block_is_not_hidden_by_one_of_stopping(
    platform: Platform, make_cluster: Make
) -> None:
    cluster = make_cluster(provider=MemoryProvider(platform, fail=("stop_server",)))
    with (
        pytest.warns(RuntimeWarning, match="stop_server failed"),
        pytest.raises(KeyError, match="the user's"),
        cluster,
    ):
        raise KeyError("the user's")
    cluster.state.provider.fail = ()  # type: ignore[attr-defined]
    cluster.stop()


def test_calls_from_many_threads(cluster: DockerCluster) -> None:
    cluster.start()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(cluster.set_worker_number, [n % 7 for n in range(200)]))
        list(pool.map(lambda _: cluster.start(), range(8)))
    numbers = cluster.worker_numbers()
    assert numbers.running == numbers.expected
    assert calls_of(cluster).count("run_server") == 1
