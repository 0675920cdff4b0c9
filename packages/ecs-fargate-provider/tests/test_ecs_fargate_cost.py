"""What tasks have cost, and what they would cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from dockerparallel import InvalidValueError
from dockerparallel_ecs_fargate_provider.cost import Billable, cost_of, estimate
from dockerparallel_ecs_fargate_provider.packing import TaskShape
from dockerparallel_ecs_fargate_provider.prices import ARM64, PriceTable
from dockerparallel_ecs_fargate_provider.sizes import FargateSize

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SMALL = FargateSize(1024, 2048)
LARGE = FargateSize(4096, 8192)
DOLLAR = PriceTable(vcpu_hour=1, gb_hour=0, public_ip_hour=10)  # a dollar per vCPU and hour
SERVER = Billable("s", "server", 0, SMALL, billed_from=NOW - timedelta(hours=2))
WORKER = Billable("w", "worker", 4, LARGE, billed_from=NOW - timedelta(hours=1))


def test_a_running_task_is_billed_until_now() -> None:
    cost = cost_of([SERVER], NOW, DOLLAR)
    [bill] = cost.by_task
    assert (bill.handle, bill.role, bill.workers) == ("s", "server", 0)
    assert (bill.seconds, bill.running, bill.spot) == (7200, True, False)
    assert (bill.per_hour, bill.cost) == (1, 2)
    assert (cost.so_far, cost.per_hour, cost.currency) == (2, 1, "USD")


def test_a_stopped_task_is_billed_until_it_stopped() -> None:
    task = replace(WORKER, billed_to=NOW - timedelta(minutes=30))
    cost = cost_of([task], NOW, DOLLAR)
    assert (cost.so_far, cost.per_hour) == (2, 0)
    assert not cost.by_task[0].running


def test_a_task_whose_image_is_not_pulled_yet_costs_nothing() -> None:
    cost = cost_of([replace(WORKER, billed_from=None)], NOW, DOLLAR)
    assert (cost.so_far, cost.per_hour) == (0, 0)
    assert (cost.by_task[0].seconds, cost.by_task[0].running) == (0, False)


@pytest.mark.parametrize(
    ("lasted", "billed"),
    [
        (timedelta(seconds=-5), 60),  # clocks differ
        (timedelta(0), 60),
        (timedelta(seconds=59), 60),
        (timedelta(seconds=60), 60),
        (timedelta(seconds=60, microseconds=1), 61),
        (timedelta(seconds=61), 61),
    ],
)
def test_a_minute_at_least_and_whole_seconds_are_billed(lasted: timedelta, billed: int) -> None:
    running = replace(WORKER, billed_from=NOW - lasted)
    stopped = replace(WORKER, billed_from=NOW, billed_to=NOW + lasted)
    bills = cost_of([running, stopped], NOW, DOLLAR).by_task
    assert [bill.seconds for bill in bills] == [billed, billed]
    assert bills[0].cost == pytest.approx(4 * billed / 3600)


def test_times_of_different_zones_are_compared_as_times() -> None:
    here = timezone(timedelta(hours=9))
    task = replace(SERVER, billed_from=SERVER.billed_from and SERVER.billed_from.astimezone(here))
    assert cost_of([task], NOW, DOLLAR).so_far == 2


def test_spot_addresses_and_architecture_count() -> None:
    tasks = [
        replace(WORKER, spot=True),
        replace(WORKER, public_ip=True),
        replace(WORKER, spot=True, public_ip=True),
    ]
    costs = [bill.cost for bill in cost_of(tasks, NOW, DOLLAR).by_task]
    assert costs == pytest.approx([1.2, 14, 11.2])
    arm = cost_of([replace(SERVER, architecture=ARM64)], NOW)
    assert arm.so_far == pytest.approx(2 * 0.0395)
    assert cost_of([SERVER], NOW).so_far == pytest.approx(2 * 0.04937)


def test_the_cost_of_one_worker() -> None:
    assert cost_of([SERVER, WORKER], NOW, DOLLAR).by_worker == {"w": 1}


def test_no_tasks_cost_nothing() -> None:
    cost = cost_of([], NOW)
    assert (cost.so_far, cost.per_hour, cost.by_task, cost.by_worker) == (0, 0, (), {})
    assert "total" in str(cost)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"now must have a time zone.*datetime\.now\(UTC\)"):
        cost_of([SERVER], datetime(2026, 11, 25))  # noqa: DTZ001


def test_the_table_of_costs() -> None:
    stopped = replace(WORKER, handle="old", spot=True, billed_to=NOW - timedelta(minutes=45))
    waiting = replace(WORKER, handle="new", billed_from=None)
    lines = str(cost_of([SERVER, WORKER, stopped, waiting], NOW, DOLLAR)).splitlines()
    assert lines[:6] == [
        "task   role    workers  USD/hour     time     USD",
        "w      worker        4    4.0000  1:00:00  4.0000",
        "s      server        -    1.0000  2:00:00  2.0000",
        "old    worker        4    1.2000  0:15:00  0.3000  Spot, ended",
        "new    worker        4    4.0000  0:00:00  0.0000  not billed yet",
        "total                     5.0000           6.3000",
    ]
    assert "assumption" in lines[6]
    assert lines[6].endswith("Data transfer, logs, NAT gateways and taxes are not included.")


def test_a_long_table_is_cut_but_its_total_is_not() -> None:
    tasks = [replace(WORKER, handle=f"w{number}") for number in range(250)]
    lines = str(cost_of(tasks, NOW, DOLLAR)).splitlines()
    assert len(lines) == 1 + 20 + 1 + 1 + 1
    assert lines[21].split() == ["230", "more", "920.00"]
    assert lines[22].split() == ["total", "1,000.00", "1,000.00"]


def test_the_note_of_a_cost_names_another_region() -> None:
    assert "eu-west-1" in str(cost_of([SERVER], NOW, region="eu-west-1"))
    assert "us-east-1" not in str(cost_of([SERVER], NOW, region="us-east-1"))
    assert "Spot" not in str(cost_of([SERVER], NOW))


def test_an_estimate_adds_server_and_workers_up() -> None:
    shapes = [TaskShape(4, LARGE, 250), TaskShape(1, SMALL, 1)]
    guess = estimate(shapes, SMALL, 2, DOLLAR, public_ip=False)
    assert (guess.per_hour, guess.total, guess.hours) == (1002, 2004, 2)
    assert str(guess).splitlines() == [
        "About 1,002.00 USD per hour, 2,004.00 USD in 2 hours.",
        "  Server: 1 task of 1 vCPU, 2 GB: 1.0000 USD per hour",
        "  4 workers each: 250 tasks of 4 vCPU, 8 GB: 1,000.00 USD per hour",
        "  1 worker each: 1 task of 1 vCPU, 2 GB: 1.0000 USD per hour",
        "Data transfer, logs, NAT gateways and taxes are not included.",
    ]


def test_an_estimate_without_a_server_has_none() -> None:
    guess = estimate([TaskShape(4, LARGE, 2)], None, 1, DOLLAR, public_ip=False)
    assert guess.per_hour == 8
    assert [line.what for line in guess.lines] == ["4 workers each"]


def test_only_workers_are_spot() -> None:
    shapes = [TaskShape(4, LARGE, 10)]
    guess = estimate(shapes, SMALL, 1, DOLLAR, spot_share=0.5, public_ip=False)
    assert guess.per_hour == pytest.approx(1 + 5 * 4 + 5 * 1.2)
    assert "4 workers each, 50% of them Spot: 10 tasks" in str(guess)
    assert "assumption" in str(guess)


def test_each_task_of_an_estimate_has_its_address() -> None:
    guess = estimate([TaskShape(4, LARGE, 10)], SMALL, 1, DOLLAR)
    assert guess.per_hour == 11 * 10 + 41


def test_an_estimate_knows_architecture_and_region() -> None:
    guess = estimate([], SMALL, 1, architecture=ARM64, region="eu-west-1", public_ip=False)
    assert guess.per_hour == pytest.approx(0.0395)
    assert "eu-west-1" in str(guess)


def test_an_estimate_has_a_minute_at_least() -> None:
    guess = estimate([], SMALL, 0, DOLLAR, public_ip=False)
    assert guess.per_hour == 1
    assert guess.total == pytest.approx(1 / 60)


@pytest.mark.parametrize(
    ("hours", "spot_share", "message"),
    [
        (-1, 0, "hours must be 0 or more"),
        (float("inf"), 0, "hours must be 0 or more and finite"),
        (1, 1.5, r"spot_share must be from 0 to 1, not 1\.5"),
        (1, -0.1, "spot_share must be 0 or more"),
    ],
)
def test_numbers_that_cannot_be_are_refused(hours: float, spot_share: float, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        estimate([], SMALL, hours, spot_share=spot_share)
