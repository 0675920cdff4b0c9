"""Several sessions share a cluster: each sees what the others do, and each may end it."""

from __future__ import annotations

import copy
import pickle

import pytest
from ecs_fargate_tiny import (
    ECS_CLUSTER,
    NOTE,
    PASSWORD,
    TOKEN,
    Account,
    TinyFargateContainer,
    counted,
    deployment_of,
    running,
    wait_until,
)

from dockerparallel import ClusterNotFoundError, ServerNotRunningError, StaticDataError
from dockerparallel_ecs_fargate_provider import ECSFargateProvider
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")


def test_what_one_does_the_other_sees(account: Account) -> None:
    first = account.started(workers=2)
    second = account.cluster()
    second.reconnect()
    running(second, 2)
    second.set_worker_number(5)
    running(first, 5)
    first.set_worker_number(3)
    running(second, 3)
    assert set(first.cloud_provider.tasks()) == set(second.cloud_provider.tasks())
    second.stop()
    running(first, 0)
    assert not first.is_server_running()
    first.stop()
    assert account.tasks() == []
    assert account.parameters() == {}
    assert not first.exists()
    with pytest.raises(ClusterNotFoundError):
        first.reconnect()


def test_all_settings_come_back(account: Account, harness: FargateHarness) -> None:
    long = "".join(f"{number:06d}" for number in range(5000))
    container = TinyFargateContainer(
        image="tiny:7",
        max_worker_num=3,
        environment={"COLOUR": "blue", "BRACES": "{{ no parameter }}", "LETTERS": "äöü€"},
        secrets={"TOKEN": TOKEN},
        packages=["numpy", "pandas"],
        note=NOTE + long,
    )
    options = {"worker_cpu": 512, "worker_memory": 1024, "server_memory": 1024}
    account.started(container=container, cluster_options=options, workers=3)
    pieces = [name for name in account.parameters() if "/static/" in name]
    assert len(pieces) > 5
    # AWS would take it for the name of another parameter.
    assert not [text for text in account.parameters().values() if "{{" in text]
    second = account.cluster(container=TinyFargateContainer())
    second.config.server_password = "another"
    second.reconnect()
    restored = second.state.worker_container
    assert restored.static_data() == container.static_data()
    assert second.config.server_password == PASSWORD
    assert second.config.server_port == account.port
    assert second.config.worker_hardware.cpu == 512
    assert second.config.server_hardware.memory == 1024
    assert second.config.expected_worker_number == 3
    second.set_worker_number(6)
    running(second, 6)
    second.stop()
    assert account.parameters() == {}


def test_static_data_that_has_become_shorter_is_read_right(account: Account) -> None:
    first = account.started(container=TinyFargateContainer(note=NOTE + "x" * 20_000))
    state = first.state
    assert isinstance(state.worker_container, TinyFargateContainer)
    state.worker_container.note = "short"
    first.set_worker_number(3)
    second = account.cluster()
    second.reconnect()
    assert second.state.worker_container.note == "short"  # type: ignore[attr-defined]
    first.stop()
    assert account.parameters() == {}


def test_static_data_that_is_gone(account: Account, harness: FargateHarness) -> None:
    account.started()
    ssm = harness.client("ssm")
    ssm.delete_parameter(Name=f"/dockerparallel/{ECS_CLUSTER}/slots/0/static/0")
    second = account.cluster()
    with pytest.raises(StaticDataError, match=r"static data of the cluster 'queue' is gone"):
        second.reconnect()
    assert len(account.tasks()) == 3
    second.start(if_exists="new")
    running(second, 2)
    assert len(account.tasks()) == 3
    second.stop()
    assert account.parameters() == {}


def test_a_server_that_is_gone_is_told_at_reconnect(
    account: Account, harness: FargateHarness
) -> None:
    first = account.started()
    server = first.cloud_provider.tasks()["server"]
    harness.kill(server)
    wait_until("the end of the server", lambda: not first.is_server_running())
    second = account.cluster()
    with pytest.raises(ServerNotRunningError, match=r"2 worker\(s\) are left"):
        second.reconnect()
    second.stop()
    assert account.tasks() == []
    assert account.parameters() == {}


def test_a_session_from_another_address_is_let_in(
    account: Account, harness: FargateHarness
) -> None:
    first = account.started()
    second = account.cluster(client_cidr="198.51.100.0/28")
    second.reconnect()
    (group,) = harness.left()["security_groups"]

    def let_in() -> set[str]:
        (found,) = harness.client("ec2").describe_security_groups(GroupIds=[group])[
            "SecurityGroups"
        ]
        return {one["CidrIp"] for rule in found["IpPermissions"] for one in rule["IpRanges"]}

    assert let_in() == {"203.0.113.7/32", "198.51.100.0/28"}
    second.stop()
    # Each takes back what it has let in.
    assert "198.51.100.0/28" not in let_in()
    first.stop()
    assert let_in() == set()


def test_a_reconnect_changes_nothing(account: Account, harness: FargateHarness) -> None:
    account.started()
    before = harness.left()
    harness.clear_calls()
    account.cluster().reconnect()
    assert harness.left() == before
    assert not counted(harness, "Run", "Create", "Put", "Register", "Stop", "Delete")


def test_copies_of_a_provider_are_independent(account: Account) -> None:
    provider = account.provider()
    first = account.cluster("one", cluster_options={"provider": provider})
    second = account.cluster("two", cluster_options={"provider": provider})
    first.start()
    second.start()
    running(first, 2)
    running(second, 2)
    assert provider.worker_handles() == []
    assert deployment_of(first).aws is deployment_of(second).aws
    first.stop()
    running(second, 2)
    assert isinstance(first.state.provider, ECSFargateProvider)
    assert copy.deepcopy(first.state.provider).worker_handles() == []


def test_a_provider_travels_to_another_process(account: Account) -> None:
    provider = ECSFargateProvider(
        region="us-east-1", endpoint_url=account.harness.endpoint_url, spot=0.5, tags={"a": "b"}
    )
    there = pickle.loads(pickle.dumps(provider))  # noqa: S301
    assert there._options == provider._options
    assert there._deployment.aws.region == "us-east-1"
