"""Cancelling tasks: those that wait, those that a worker holds, and a lost reply."""

from __future__ import annotations

import time
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
import redis
from redis_queue_harness import Site, together, until
from test_redis_queue_executor import busy, wait_for_file

from dockerparallel_redis_queue_container import ClusterExecutor
from dockerparallel_redis_queue_container.records import Cancelled
from dockerparallel_redis_queue_container.task_queue import TaskQueue


def test_what_waits_at_a_worker_does_not_run_and_is_cancelled(
    single: ClusterExecutor, tmp_path: Path
) -> None:
    # The worker takes tasks for short, and so claims many at once.
    list(single.map(abs, range(200)))
    long = single.submit(wait_for_file, tmp_path / "go")
    waiting = [single.submit(abs, -number) for number in range(60)]
    until(long.running, "the long one to run")
    assert not any(future.running() for future in waiting)
    for future in waiting:
        # On a machine without rest, the worker may give back later than is waited for.
        until(future.cancel, "it to be cancelled")
    assert all(future.cancelled() for future in waiting)
    assert not long.cancel()
    (tmp_path / "go").touch()
    assert long.result(30) == "go"


def test_cancelling_a_held_task_asks_again_until_it_is_given_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = site.client()
    queue = site.queue()
    futures = [client.submit(abs, number) for number in range(2)]
    until(lambda: site.queue().numbers().sizes["waiting"] == 2, "both to be there")
    queue.renew([("w", "{}"), ("v", "{}")])
    assert len(queue.claim("w", most=1).tasks) == 1
    assert len(queue.claim("w", most=1, holding=1).tasks) == 1
    first, second = futures
    assert first.running()
    assert not second.running()
    answers: list[list[Cancelled]] = []
    ask = TaskQueue.try_cancel

    def give_back_once(self: TaskQueue, task_ids: Any, token: str = "") -> list[Cancelled]:
        answers.append(ask(self, task_ids, token))
        if len(answers) == 1:
            queue.give_back("w", task_ids)
        return answers[-1]

    monkeypatch.setattr(TaskQueue, "try_cancel", give_back_once)
    assert second.cancel()
    assert answers == [[Cancelled.NOT_YET], [Cancelled.YES]]
    assert not first.cancel()
    assert answers[2:] == [[Cancelled.NO]]


def test_a_lost_reply_of_a_cancellation_loses_no_future(
    single: ClusterExecutor, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = busy(single, tmp_path)
    waiting = single.submit(abs, -1)
    until(lambda: site.queue().numbers().waiting == 1, "the task to be sent")
    ask = TaskQueue.try_cancel
    lost: list[list[Cancelled]] = []

    def lose_the_first(self: TaskQueue, task_ids: Any, token: str = "") -> list[Cancelled]:
        reply = ask(self, task_ids, token)
        if not lost:
            lost.append(reply)
            raise redis.ConnectionError("the reply was lost")
        return reply

    monkeypatch.setattr(TaskQueue, "try_cancel", lose_the_first)
    assert waiting.cancel()
    assert lost == [[Cancelled.YES]]
    assert waiting.cancelled()
    (tmp_path / "go").touch()
    assert running.result(30) == "go"


def test_many_threads_cancel_the_same_future(single: ClusterExecutor, tmp_path: Path) -> None:
    running = busy(single, tmp_path)
    called: list[Any] = []
    for _ in range(20):
        waiting = single.submit(abs, -1)
        waiting.add_done_callback(called.append)
        assert together(8, lambda _, future=waiting: future.cancel()) == [True] * 8  # type: ignore[misc]
        assert wait([waiting], 30).done == {waiting}
    assert len(called) == 20
    (tmp_path / "go").touch()
    assert running.result(30) == "go"


def test_shutdown_cancels_what_a_worker_holds(single: ClusterExecutor) -> None:
    list(single.map(abs, range(200)))
    futures = [single.submit(time.sleep, 0.05) for _ in range(50)]
    single.shutdown(cancel_futures=True)
    assert all(future.done() for future in futures)
    others = [future for future in futures if not future.cancelled()]
    assert {future.exception() for future in others} <= {None}
    assert len(others) < 25
