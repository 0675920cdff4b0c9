"""Clusters of the same name: deciding, removing, reconnecting, static data."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from core_fakes import MemoryContainer, MinimalProvider, OtherContainer, Platform

from dockerparallel import (
    ClusterExistsError,
    ClusterNotFoundError,
    ContainerMismatchError,
    DockerCluster,
    ExternalServer,
    InvalidTypeError,
    ServerNotRunningError,
    StaticDataError,
    Status,
)

Make = Callable[..., DockerCluster]


@pytest.fixture
def running(make_cluster: Make) -> DockerCluster:
    """Start a cluster as "somebody else" does, one that stays."""
    cluster = make_cluster(
        worker_container=MemoryContainer(image="old-image", environment={"A": "1"}, extra=["x"]),
        server_container=MemoryContainer(image="old-server-image"),
        worker_number=4,
        stop_on_exit=False,
        worker_cpu=512,
    )
    cluster.config.server_password = "old \n'\"password"
    cluster.start()
    return cluster


def test_off_a_terminal_an_existing_cluster_is_an_error(
    running: DockerCluster, make_cluster: Make
) -> None:
    cluster = make_cluster()
    assert cluster.exists()
    for decision in (None, "error", "ask"):
        with pytest.raises(ClusterExistsError, match="if_exists='reconnect'"):
            cluster.start(decision)
    assert running.is_server_running()
    del cluster
    assert running.is_server_running(), "dropping a handle that started nothing stopped a cluster"


def test_another_name_is_another_cluster(running: DockerCluster, make_cluster: Make) -> None:
    other = make_cluster(job_queue_name="other")
    other.start()
    other.stop()
    assert running.is_server_running()
    assert running.worker_numbers().running == 4


@pytest.mark.parametrize(
    ("answers", "outcome"), [(["?", "r"], "reuse"), (["N"], "new"), (["c"], "cancel")]
)
def test_on_a_terminal_the_user_is_asked(
    answers: list[str],
    outcome: str,
    running: DockerCluster,
    make_cluster: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A mock, since a test has no terminal of its own.
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answers.pop(0))
    cluster = make_cluster(worker_number=2)
    if outcome == "cancel":
        with pytest.raises(ClusterExistsError, match="Cancelled"):
            cluster.start()
        return
    cluster.start()
    assert answers == []
    assert cluster.worker_numbers().running == (4 if outcome == "reuse" else 2)


def test_reconnect_restores_everything(
    running: DockerCluster, make_cluster: Make, platform: Platform, fresh_notes: list[str]
) -> None:
    platform.workers[running.config.job_queue_name] = 3
    cluster = make_cluster(worker_container=MemoryContainer(image="new-image"))
    cluster.start(if_exists="reconnect")
    assert not cluster.stop_on_exit
    assert cluster.config.server_password == running.config.server_password
    assert cluster.config.worker_hardware.cpu == 512
    assert cluster.config.expected_worker_number == 3
    assert cluster.state.worker_container == running.state.worker_container
    assert cluster.state.server_container == running.state.server_container
    assert cluster.runtime.server_address == running.runtime.server_address
    assert fresh_notes[-1] == "register"
    with cluster:
        pass
    assert running.is_server_running()
    cluster.stop()
    assert platform.servers == {}


def test_reconnecting_to_nothing_says_so(make_cluster: Make) -> None:
    with pytest.raises(ClusterNotFoundError, match="no running cluster 'DockerParallelQueue'"):
        make_cluster().reconnect()
    with pytest.raises(ClusterNotFoundError):
        make_cluster(provider=MinimalProvider()).reconnect()


def test_another_container_class_is_refused_and_changes_nothing(
    running: DockerCluster, make_cluster: Make
) -> None:
    cluster = make_cluster(worker_container=OtherContainer(image="worker-image"))
    password = cluster.config.server_password
    with pytest.raises(ContainerMismatchError, match=r"MemoryContainer.*OtherContainer"):
        cluster.reconnect()
    assert cluster.config.server_password == password
    assert running.is_server_running()


def test_another_server_container_class_is_refused_and_changes_nothing(
    running: DockerCluster, make_cluster: Make
) -> None:
    cluster = make_cluster(server_container=OtherContainer(image="server-image"))
    with pytest.raises(ContainerMismatchError):
        cluster.reconnect()
    assert cluster.state.worker_container.image == "worker-image"


def test_new_removes_the_old_cluster_and_keeps_the_new_settings(
    running: DockerCluster, make_cluster: Make, platform: Platform
) -> None:
    cluster = make_cluster(worker_container=OtherContainer(image="worker-image"), worker_number=1)
    password = cluster.config.server_password
    cluster.start(if_exists="new")
    provider: Any = cluster.state.provider
    assert [call for call in provider.calls if call != "server_status"] == [
        "initialize",
        "reconnect",
        "server_address",
        "set_worker_number(0)",
        "stop_server",
        "cleanup(deep=False)",
        "run_server",
        "server_address",
        "set_worker_number(1)",
    ]
    assert cluster.config.server_password == password
    assert cluster.stop_on_exit
    assert platform.stored[cluster.config.job_queue_name]["config"]["server_password"] == password


def test_static_data_survives_json(running: DockerCluster, make_cluster: Make) -> None:
    data = json.loads(json.dumps(running.static_data()))
    data["config"]["from the future"] = data["worker_container"]["too"] = 1
    cluster = make_cluster()
    cluster.set_static_data(data)
    assert cluster.static_data() == running.static_data()


def test_static_data_remembers_an_external_server(make_cluster: Make) -> None:
    server = ExternalServer(public_ip="9.9.9.9", public_port=1, password="theirs")
    data = make_cluster(private_server=server).static_data()
    assert "theirs" not in json.dumps(data["external_server"])
    cluster = make_cluster()
    cluster.set_static_data(data)
    assert cluster.runtime.server_from_other_source
    assert cluster.server_address_for_client() == ("9.9.9.9", 1)
    assert cluster.config.server_password == "theirs"


@pytest.mark.parametrize("number", [None, 0, 2, "1", True])
def test_an_unknown_format_is_refused(number: object, make_cluster: Make) -> None:
    cluster = make_cluster()
    data = {**cluster.static_data(), "format": number}
    with pytest.raises(StaticDataError, match="reads 1 to 1"):
        cluster.set_static_data(data)


def test_fields_that_json_cannot_carry_are_refused(make_cluster: Make) -> None:
    cluster = make_cluster(worker_container=MemoryContainer(image="i", extra=[object()]))  # type: ignore[list-item]
    with pytest.raises(InvalidTypeError, match=r"MemoryContainer\.extra"):
        cluster.static_data()


def test_workers_whose_server_is_dead_can_be_taken_over_only_to_be_ended(
    running: DockerCluster, make_cluster: Make, platform: Platform
) -> None:
    platform.servers[running.config.job_queue_name] = Status.STOPPED
    cluster = make_cluster()
    with pytest.raises(
        ServerNotRunningError, match=r"has stopped, and 4 worker\(s\) are left.*cluster\.stop\(\)"
    ):
        cluster.reconnect()
    assert cluster.stop_on_exit, "it does not stay, as a cluster that was reconnected to does"
    cluster.stop()
    assert cluster.worker_numbers().running == 0
    assert running.config.job_queue_name not in platform.servers
