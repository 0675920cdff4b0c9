"""Spot capacity: as much of it as was asked for, never for the server; and the architecture."""

from __future__ import annotations

import gc
import threading
from datetime import datetime
from typing import Any

import pytest
from ecs_fargate_tiny import Account, deployment_of, running, wait_until

from dockerparallel import DockerCluster
from dockerparallel_ecs_fargate_provider.keeper import Keeper
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")


def shares(account: Account) -> tuple[int, int, int]:
    """Return how many workers' tasks live on Spot capacity and not, and of the servers on it."""
    by_role: dict[str, list[bool]] = {"server": [], "worker": []}
    for task in account.tasks():
        (role,) = [tag["value"] for tag in task["tags"] if tag["key"] == "dockerparallel:role"]
        by_role[role].append(task.get("capacityProviderName") == "FARGATE_SPOT")
    spot = by_role["worker"].count(True)
    return spot, len(by_role["worker"]) - spot, by_role["server"].count(True)


def looked_after(
    account: Account, seconds: float, *, workers: int, name: str = "queue", **options: Any
) -> DockerCluster:
    """Start a cluster whose provider looks after it so often."""
    provider = account.provider(**options)
    provider._keeper = Keeper(seconds)
    return account.started(name, workers, cluster_options={"provider": provider})


@pytest.mark.parametrize(
    ("spot", "expected"),
    [
        (False, [(0, 4), (0, 8), (0, 2), (0, 5)]),
        (True, [(4, 0), (8, 0), (2, 0), (5, 0)]),
        (0.5, [(2, 2), (4, 4)]),
        (0.25, [(1, 3), (2, 6)]),
    ],
)
def test_the_share_holds_for_all_tasks_together(
    account: Account, spot: float, expected: list[tuple[int, int]]
) -> None:
    cluster = account.started(workers=4, spot=spot)
    for number, (on_spot, not_on_spot) in zip((4, 8, 2, 5), expected, strict=False):
        cluster.set_worker_number(number)
        running(cluster, number)
        assert shares(account) == (on_spot, not_on_spot, 0)


def test_what_is_missing_of_the_share_is_made_up_for(
    account: Account, harness: FargateHarness
) -> None:
    cluster = looked_after(account, 3600.0, workers=4, spot=0.5)
    running(cluster, 4)
    for task in account.tasks():
        if task.get("capacityProviderName") == "FARGATE_SPOT":
            harness.interrupt_spot(task["taskArn"])
    running(cluster, 2)
    assert shares(account) == (0, 2, 0)
    cluster.update()
    running(cluster, 4)
    assert shares(account) == (2, 2, 0)


def test_packed_tasks_share_too(account: Account) -> None:
    cluster = account.started(workers=12, per_task=2, spot=0.5)
    running(cluster, 12)
    assert shares(account) == (3, 3, 0)


def test_an_interruption_is_told_and_mended(
    account: Account, harness: FargateHarness, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = looked_after(account, 3600.0, workers=2, spot=True)
    running(cluster, 2)
    (first, *_) = cluster.state.provider.worker_names(cluster)
    harness.interrupt_spot(first)
    running(cluster, 1)
    assert "SpotInterruption" in caplog.text
    assert "took its Spot capacity back" in caplog.text
    cluster.update()
    running(cluster, 2)


def test_interrupted_workers_come_back_by_themselves(
    account: Account, harness: FargateHarness, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = looked_after(account, 0.05, workers=3, spot=True, name="replaced")
    running(cluster, 3)
    names = cluster.state.provider.worker_names(cluster)
    for name in names[:2]:
        harness.interrupt_spot(name)
    wait_until(
        "workers to be replaced",
        lambda: (
            shares(account) == (3, 0, 0)
            and not {task["taskArn"] for task in account.tasks()} & set(names[:2])
        ),
    )
    # One that died by itself is the user's to bring back.
    harness.kill(names[2])
    running(cluster, 2)
    cluster.update()
    cluster.stop()
    assert account.tasks() == []
    wait_until("the end of the thread", lambda: not looking("replaced"))


def test_the_lease_is_renewed_while_its_session_lives(account: Account) -> None:
    cluster = looked_after(account, 0.05, workers=1, lifetime_hours=0.001, name="leased")
    running(cluster, 1)

    def expiry() -> datetime:
        (found,) = cluster.cloud_provider.list_clusters()
        assert isinstance(found.expires, datetime)
        return found.expires

    first = expiry()
    wait_until("the lease to be renewed", lambda: expiry() > first)
    cluster.stop()


def test_looking_ends_with_the_cluster(account: Account) -> None:
    cluster = looked_after(account, 0.05, workers=1, spot=True, name="dropped")
    running(cluster, 1)
    assert looking("dropped")
    del cluster
    wait_until("the end of the thread", lambda: gc.collect() >= 0 and not looking("dropped"))
    assert len(account.tasks()) == 2


def looking(name: str) -> bool:
    """Tell whether a thread looks after a cluster."""
    return any(thread.name == f"dockerparallel-keeper-{name}" for thread in threading.enumerate())


def definition_platforms(harness: FargateHarness) -> set[str]:
    ecs = harness.client("ecs")
    arns = ecs.list_task_definitions()["taskDefinitionArns"]
    found = [ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"] for arn in arns]
    return {one["runtimePlatform"]["cpuArchitecture"] for one in found}


@pytest.mark.parametrize(
    ("given", "expected"), [("X86_64", "X86_64"), ("arm64", "ARM64"), ("ARM64", "ARM64")]
)
def test_the_architecture_is_that_of_the_definitions(
    account: Account, harness: FargateHarness, given: str, expected: str
) -> None:
    account.started(architecture=given)
    assert definition_platforms(harness) == {expected}


def test_an_other_architecture_is_another_definition(
    account: Account, harness: FargateHarness
) -> None:
    first: DockerCluster = account.started("one")
    second = account.started("two", architecture="ARM64")
    assert definition_platforms(harness) == {"X86_64", "ARM64"}
    assert deployment_of(first).options != deployment_of(second).options
    running(second, 2)
