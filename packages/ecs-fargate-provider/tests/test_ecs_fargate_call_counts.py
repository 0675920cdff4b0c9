"""A cluster of a thousand workers is a matter of some dozens of calls."""

from __future__ import annotations

import itertools

import pytest
from ecs_fargate_tiny import (
    ECS_CLUSTER,
    Account,
    TinyFargateContainer,
    counted,
    deployment_of,
    running,
)

from dockerparallel import DockerCluster
from dockerparallel_ecs_fargate_provider import AWSTimeoutError
from dockerparallel_ecs_fargate_provider.book import TaskBook
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")

READS = ("Describe", "List")


def look(cluster: DockerCluster) -> bool:
    """Let a provider look at its tasks now; return whether anything has changed."""
    book: TaskBook = deployment_of(cluster).book
    return book.refresh(now=True)


@pytest.mark.usefixtures("quick_limits")
def test_a_thousand_workers(account: Account, harness: FargateHarness) -> None:
    cluster = account.cluster(workers=1000, per_task=4)
    cluster.start_server()
    harness.clear_calls()
    cluster.set_worker_number(1000)
    running(cluster, 1000)
    calls = harness.calls("ecs", "RunTask")
    assert len(calls) == 25
    assert {call.parameters["count"] for call in calls} == {10}
    assert len({call.parameters["clientToken"] for call in calls}) == 25

    harness.clear_calls()
    # As often as users look, by default.
    other = account.cluster("queue", poll_interval=1.0)
    other.reconnect()
    assert other.worker_numbers().running == other.config.expected_worker_number == 1000
    assert 0 < counted(harness, *READS).total() <= 10

    harness.clear_calls()
    cluster.stop()
    stopped = [call.parameters["task"] for call in harness.calls("ecs", "StopTask")]
    assert len(stopped) == len(set(stopped)) == 251
    assert account.tasks() == []


@pytest.mark.usefixtures("quick_limits")
def test_three_hundred_tasks(account: Account, harness: FargateHarness) -> None:
    cluster = account.cluster(workers=300)
    cluster.start()
    assert counted(harness)["RunTask"] == 1 + 30
    running(cluster, 300)
    harness.clear_calls()
    assert not look(cluster)
    # 301 tasks with the server's.
    assert counted(harness) == {"ListTasks": 4, "DescribeTasks": 4}
    book: TaskBook = deployment_of(cluster).book
    harness.kill(book.tasks()[-1].arn)
    while not look(cluster):
        pass
    # A look takes four times as many calls as one at a few tasks, and is as much rarer.
    assert book._pause == pytest.approx(0.05 * (1 + 301 / 100))
    harness.clear_calls()
    cluster.set_worker_number(298)
    assert counted(harness)["StopTask"] == 1
    assert counted(harness)["RunTask"] == 0
    cluster.set_worker_number(300)
    assert counted(harness)["RunTask"] == 1
    cluster.stop()
    assert account.tasks() == []


def test_tasks_that_have_ended_are_not_asked_for_again(
    account: Account, harness: FargateHarness
) -> None:
    cluster = account.started(workers=101)
    running(cluster, 101)
    cluster.set_worker_number(0)
    # What was told to end is looked at until it has.
    while look(cluster):
        pass
    harness.clear_calls()
    look(cluster)
    (call,) = harness.calls("ecs", "DescribeTasks")
    assert len(call.parameters["tasks"]) == 1


def test_looks_are_rarer_where_nothing_changes(
    account: Account, harness: FargateHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = account.started(workers=3)
    running(cluster, 3)
    book: TaskBook = deployment_of(cluster).book
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("random.uniform", lambda low, high: (low + high) / 2)
    book.refresh(now=True)
    looks = []
    start = now
    while now < start + 3.0:
        harness.clear_calls()
        book.refresh()
        if harness.calls("ecs", "ListTasks"):
            looks.append(now)
        now += 0.01
    pauses = [later - earlier for earlier, later in itertools.pairwise(looks)]
    least = 0.05 * 1.04
    assert pauses[0] == pytest.approx(4 * least, abs=0.011)
    assert all(pause == pytest.approx(5 * least, abs=0.011) for pause in pauses[1:])
    # A change is followed closely again.
    harness.kill(book.tasks()[-1].arn)
    while not book.refresh(now=True):
        pass
    before = now
    while not book.refresh() and now < before + 1.0:
        harness.clear_calls()
        now += 0.01
        book.refresh()
        if harness.calls("ecs", "ListTasks"):
            break
    assert now - before == pytest.approx(least, abs=0.021)


# Task definitions ---------------------------------------------------------------------------


def definitions(harness: FargateHarness) -> list[str]:
    """Return the active definitions."""
    found: list[str] = harness.client("ecs").list_task_definitions()["taskDefinitionArns"]
    return sorted(found)


def test_definitions_are_registered_once(account: Account, harness: FargateHarness) -> None:
    first = account.started("first")
    made = definitions(harness)
    assert len(made) == counted(harness)["RegisterTaskDefinition"] == 2
    first.set_worker_number(5)
    first.stop()
    assert definitions(harness) == made
    second = account.started("second")
    assert counted(harness)["RegisterTaskDefinition"] == 2
    second.stop()
    third = account.started("first", container=TinyFargateContainer(image="tiny:2"))
    assert counted(harness)["RegisterTaskDefinition"] == 4
    third.stop()


def test_definitions_of_another_cluster_stay(account: Account, harness: FargateHarness) -> None:
    first, second = account.started("first"), account.started("second")
    made = definitions(harness)
    first.stop()
    first.cleanup(deep=True)
    assert definitions(harness) == made
    second.set_worker_number(4)
    running(second, 4)
    again = account.started("first")
    assert definitions(harness) == made
    for cluster in (again, second):
        cluster.stop()
    second.cleanup(deep=True)
    assert harness.left() == {}


def test_definitions_of_tasks_that_run_stay_though_nobody_has_a_lease(
    account: Account, harness: FargateHarness
) -> None:
    first = account.started("first", container=TinyFargateContainer(image="tiny:2"))
    made = definitions(harness)
    harness.client("ssm").delete_parameter(Name=f"/dockerparallel/{ECS_CLUSTER}/clusters/first")
    second = account.started("second", stop_timeout=0.1)
    second.stop()
    with pytest.raises(AWSTimeoutError):
        # The network is in use, too.
        second.cleanup(deep=True)
    assert definitions(harness) == made
    running(first, 2)


def test_a_failed_start_leaves_the_definitions_of_another_cluster(
    account: Account, harness: FargateHarness
) -> None:
    first = account.started("first")
    made = definitions(harness)
    harness.fail("RunTask", "ServerException", "no", status=400, skip=1)
    broken = account.cluster("second", container=TinyFargateContainer(image="tiny:2"))
    with pytest.raises(Exception, match="no"):
        broken.start()
    assert set(made) <= set(definitions(harness))
    first.set_worker_number(4)
    running(first, 4)


def test_a_definition_that_somebody_has_deregistered_is_registered_again(
    account: Account, harness: FargateHarness
) -> None:
    cluster = account.started()
    ecs = harness.client("ecs")
    for arn in definitions(harness):
        ecs.deregister_task_definition(taskDefinition=arn)
    cluster.set_worker_number(4)
    running(cluster, 4)
    assert counted(harness)["RegisterTaskDefinition"] == 3
    assert len(definitions(harness)) == 1
    cluster.stop()
    for arn in definitions(harness):
        ecs.deregister_task_definition(taskDefinition=arn)
    again = account.started()
    running(again, 2)


def test_definitions_of_another_ecs_cluster_are_not_removed(
    account: Account, harness: FargateHarness
) -> None:
    # Its name begins with ours.
    other = account.started("theirs", cluster_name=f"{ECS_CLUSTER}-two")
    theirs = definitions(harness)
    ours = account.started("ours")
    ours.stop()
    ours.cleanup(deep=True)
    assert definitions(harness) == theirs
    other.set_worker_number(3)
    running(other, 3)
