"""What a cluster costs, by the tasks that it really has."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from ecs_fargate_tiny import Account, counted, deployment_of, running

from dockerparallel import InvalidTypeError, InvalidValueError
from dockerparallel_ecs_fargate_provider import PriceTable
from dockerparallel_ecs_fargate_provider.book import TaskBook
from dockerparallel_ecs_fargate_provider.records import TaskRecord
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")

# Published prices of us-east-1: per vCPU, per GB and per public address.
VCPU, GB, ADDRESS = 0.04048, 0.004445, 0.005
SERVER = 0.25 * VCPU + 2 * GB + ADDRESS
WORKER = VCPU + 2 * GB + ADDRESS
PAIR = 2 * VCPU + 4 * GB + ADDRESS


def older(book: TaskBook, seconds: float) -> None:
    """Let all tasks have started so much earlier."""
    for arn, record in book._tasks.items():
        data = dict(record.data)
        data["pullStartedAt"] -= timedelta(seconds=seconds)
        book._tasks[arn] = TaskRecord(arn, data, record.tags)


def test_the_bill_of_a_cluster(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = account.cluster(workers=3, per_task=2)
    before = cluster.cloud_provider.cost()
    assert (before.so_far, before.per_hour, before.by_task) == (0.0, 0.0, ())
    cluster.start()
    running(cluster, 3)
    cost = cluster.cloud_provider.cost()
    per_hour = SERVER + PAIR + WORKER
    assert cost.per_hour == pytest.approx(per_hour)
    # A minute is the least.
    assert cost.so_far == pytest.approx(per_hour / 60)
    assert [bill.handle == "server" for bill in cost.by_task].count(True) == 1
    assert set(cost.by_worker) == set(cluster.state.provider.worker_handles())  # type: ignore[attr-defined]
    cluster.set_worker_number(2)
    running(cluster, 2)
    cost = cluster.cloud_provider.cost()
    assert cost.per_hour == pytest.approx(SERVER + PAIR)
    assert cost.so_far == pytest.approx(per_hour / 60)
    book = deployment_of(cluster).book
    book.refresh(now=True)
    monkeypatch.setattr(book, "refresh", lambda **_: False)
    older(book, 3600)
    cost = cluster.cloud_provider.cost()
    assert cost.so_far == pytest.approx(per_hour, rel=0.01)
    assert f"{cost.per_hour:.4f}" in str(cost)
    monkeypatch.undo()
    cluster.stop()
    after = cluster.cloud_provider.cost()
    assert after.per_hour == 0.0
    assert len(after.by_task) == 3
    assert not any(bill.running for bill in after.by_task)
    assert "ended" in str(after)


def test_spot_and_arm_and_own_prices(account: Account) -> None:
    cluster = account.started(workers=2, spot=0.5, architecture="ARM64")
    running(cluster, 2)
    table = PriceTable.published()
    cost = cluster.cloud_provider.cost()
    expected = [
        table.for_task(task.size, task.spot, True, "ARM64")
        for task in deployment_of(cluster).book.tasks()
    ]
    assert cost.per_hour == pytest.approx(sum(expected))
    assert len(set(expected)) == 3
    assert "spot" in str(cost).lower()


def test_a_task_that_waits_costs_nothing(account: Account, harness: FargateHarness) -> None:
    cluster = account.started(workers=0)
    harness.change_settings(provisioning_seconds=3600)
    cluster.set_worker_number(2)
    cost = cluster.cloud_provider.cost()
    assert cost.per_hour == pytest.approx(SERVER)
    assert str(cost).count("not billed yet") == 2


def test_the_bill_of_who_reconnects(account: Account) -> None:
    running(account.started(workers=2), 2)
    other = account.cluster()
    other.reconnect()
    assert other.cloud_provider.cost().per_hour == pytest.approx(SERVER + 2 * WORKER)


@pytest.mark.parametrize(
    ("workers", "per_task", "options", "expected"),
    [
        (0, 1, {}, SERVER),
        (3, 1, {}, SERVER + 3 * WORKER),
        (3, 2, {}, SERVER + PAIR + WORKER),
        (4, 1, {"spot": 0.5}, None),
    ],
)
def test_an_estimate_is_what_is_paid_then(
    account: Account, workers: int, per_task: int, options: dict[str, Any], expected: float | None
) -> None:
    cluster = account.cluster(workers=workers, per_task=per_task, **options)
    estimate = cluster.cloud_provider.estimate(hours=2)
    assert counted(account.harness) == {}
    assert estimate.total == pytest.approx(2 * estimate.per_hour)
    assert expected is None or estimate.per_hour == pytest.approx(expected)
    cluster.start()
    running(cluster, workers)
    assert cluster.cloud_provider.cost().per_hour == pytest.approx(estimate.per_hour)
    more = cluster.cloud_provider.estimate(worker_number=workers + 1)
    assert more.per_hour > estimate.per_hour
    assert f"{more.per_hour:.4f}" in str(more)


def test_wrong_arguments(account: Account) -> None:
    view = account.cluster().cloud_provider
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(InvalidValueError, match="hours"):
            view.estimate(hours=wrong)
    with pytest.raises(InvalidTypeError, match="hours"):
        view.estimate(hours="an hour")
    with pytest.raises(InvalidValueError, match="worker"):
        view.estimate(worker_number=-1)
    with pytest.raises(InvalidTypeError, match="worker"):
        view.estimate(worker_number=1.5)
