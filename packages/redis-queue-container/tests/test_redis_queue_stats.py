"""What the numbers of the queue tell."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from redis_queue_harness import Site, cluster_on

from dockerparallel_redis_queue_container.records import Numbers
from dockerparallel_redis_queue_container.stats import Speedometer, stats_of

MEGABYTE = 1_000_000


def numbers(time: float, **done: int) -> Numbers:
    workers = [{"id": name, "started": 100.0} for name in done]
    return Numbers(time, 0, 0, {}, done, {"a": 1}, workers)


def test_the_first_speed_is_since_the_start() -> None:
    assert Speedometer().read(numbers(110.0, a=19)) == {"a": 2.0}


def test_later_speeds_are_since_the_look_before() -> None:
    meter = Speedometer()
    meter.read(numbers(110.0, a=19))
    assert meter.read(numbers(112.0, a=25, b=36)) == {"a": 3.0, "b": 3.0}
    assert meter.read(numbers(113.0, b=40)) == {"b": 4.0}
    assert meter.read(numbers(114.0)) == {}


def test_looks_that_follow_at_once_are_compared_with_the_same() -> None:
    meter = Speedometer()
    meter.read(numbers(110.0, a=0))
    assert meter.read(numbers(112.0, a=8)) == {"a": 4.0}
    assert meter.read(numbers(112.1, a=8)) == {"a": pytest.approx(8 / 2.1)}
    assert meter.read(numbers(112.2, a=11)) == {"a": pytest.approx(11 / 2.2)}


def test_the_sum_of_the_workers_is_told() -> None:
    now = numbers(110.0, a=19, b=30)._replace(
        workers=[
            {"id": name, "started": 100.0, "host": "h", "pid": 1, "python": "3.11"} for name in "ab"
        ]
    )
    stats = stats_of(now, Speedometer().read(now))
    assert stats["tasks_per_second"] == 5.0
    assert [worker["tasks_per_second"] for worker in stats["workers"]] == [2.0, 3.0]


def test_what_many_tasks_share_counts_once(site: Site) -> None:
    site.start_workers(2)
    cluster = cluster_on(site, worker_number=2, verbose=0)
    cluster.start()
    shared = b"x" * MEGABYTE
    with cluster.worker_container.executor() as executor:
        assert set(executor.map(len, [shared] * 20)) == {MEGABYTE}
        stats: dict[str, Any] = cluster.worker_container.stats()
        assert MEGABYTE < stats["task_bytes"] < 2.1 * MEGABYTE
        assert stats["result_bytes"] < 0.1 * MEGABYTE
        assert len(executor.submit(operator.mul, b"y", MEGABYTE).result(30)) == MEGABYTE
        stats = cluster.worker_container.stats()
        assert MEGABYTE < stats["result_bytes"] < 1.1 * MEGABYTE
    cluster.stop()
