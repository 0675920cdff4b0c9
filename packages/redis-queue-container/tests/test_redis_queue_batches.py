"""Workers that hold several tasks at a time: deaths in between, long tasks among short ones."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from redis_queue_harness import Site, until

from dockerparallel_redis_queue_container import WorkerDiedError, settings
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.pace import Pace


def square(number: int) -> int:
    return number * number


def warm_up(client: QueueClient, number: int = 300) -> None:
    """Let the workers learn that tasks are short, so that they claim many."""
    futures = [client.submit(square, n) for n in range(number)]
    assert [future.result(30) for future in futures] == [n * n for n in range(number)]


def wait_for_file(path: Path) -> int:
    while not path.exists():
        time.sleep(0.005)
    return os.getpid()


def hold_the_interpreter(begun: Path, path: Path) -> int:
    """Do what code outside Python does that does not let other threads run."""
    begun.touch()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        while not path.exists():
            pass
    finally:
        sys.setswitchinterval(interval)
    return os.getpid()


def die_once(mark: Path, number: int) -> int:
    """Kill the worker at the first attempt."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return number
    os.kill(os.getpid(), signal.SIGKILL)
    return -1


def test_workers_killed_in_the_middle_of_what_they_hold_lose_nothing(
    site: Site, tmp_path: Path
) -> None:
    site.environment[settings.LEASE] = "600"
    site.start_workers(2)
    client = site.client()
    warm_up(client)
    calls: Counter[Future[Any]] = Counter()
    futures: list[Future[Any]] = []
    for number in range(3000):
        future: Future[Any]
        if number % 500 == 250:
            future = client.submit(die_once, tmp_path / f"died-{number}", number)
        else:
            future = client.submit(square, number)
        future.add_done_callback(lambda done: calls.update([done]))
        futures.append(future)
    for number, future in enumerate(futures):
        assert future.result(60) == (number if number % 500 == 250 else number**2)
    until(lambda: len(calls) == len(futures), "the callbacks")
    assert set(calls.values()) == {1}
    # The innocent ones that were held with those that killed have used up no attempt.
    assert site.counts()["died"] == 6
    assert site.counts()["done"] == len(futures) + 300


def test_only_the_task_that_kills_is_given_up(site: Site) -> None:
    site.start_workers(1)
    client = site.client()
    warm_up(client)
    before = [client.submit(square, n) for n in range(50)]
    poison = client.submit(os._exit, 7)
    after = [client.submit(square, n) for n in range(50)]
    with pytest.raises(WorkerDiedError) as caught:
        poison.result(60)
    assert caught.value.exit_code == 7
    assert caught.value.attempts == 3
    for futures in (before, after):
        assert [future.result(30) for future in futures] == [n * n for n in range(50)]
    assert site.counts()["failed"] == 1


def test_what_waits_behind_a_long_task_runs_elsewhere(site: Site, tmp_path: Path) -> None:
    site.start_workers(2)
    client = site.client()
    warm_up(client)
    long = client.submit(wait_for_file, tmp_path / "go")
    futures = [client.submit(square, n) for n in range(1000)]
    assert [future.result(30) for future in futures] == [n * n for n in range(1000)]
    assert not long.done()
    (tmp_path / "go").touch()
    long.result(30)


def test_an_idle_worker_takes_over_where_a_task_holds_the_interpreter(
    site: Site, tmp_path: Path
) -> None:
    site.start_workers(2)
    client = site.client()
    warm_up(client)
    futures: list[Future[int]] = [client.submit(square, n) for n in range(500)]
    long = client.submit(hold_the_interpreter, tmp_path / "begun", tmp_path / "go")
    futures += [client.submit(square, n) for n in range(500, 1000)]
    try:
        # What it has finished, and cannot hand in meanwhile, may come later.
        until(
            lambda: (
                sum(future.done() for future in futures) >= 1000 - 128
                and site.queue().numbers().sizes["waiting"] == 0
                and not site.connection.exists(f"dp:{{{site.name}}}:spare")
            ),
            "the others to be done",
        )
        assert not long.done()
    finally:
        (tmp_path / "go").touch()
    assert [future.result(30) for future in futures] == [n * n for n in range(1000)]
    long.result(30)


def test_a_cancelled_task_never_runs(site: Site, tmp_path: Path) -> None:
    """Whether a task can be cancelled depends on who has claimed it; the answer must be true."""
    site.start_workers(2)
    client = site.client()
    warm_up(client)
    (tmp_path / "marks").mkdir()
    futures = [client.submit((tmp_path / "marks" / str(n)).touch) for n in range(1000)]
    cancelled = [future.cancel() for future in futures[::-1]][::-1]
    for future, done in zip(futures, cancelled, strict=True):
        if not done:
            future.result(30)
        assert future.cancelled() is done
    ran = {int(path.name) for path in (tmp_path / "marks").iterdir()}
    assert ran == {n for n, done in enumerate(cancelled) if not done}


def test_a_task_behind_a_long_one_can_be_cancelled(site: Site, tmp_path: Path) -> None:
    site.start_workers(1)
    client = site.client()
    warm_up(client)
    long = client.submit(wait_for_file, tmp_path / "go")
    until(long.running, "it to run")
    waiting = [client.submit(square, n) for n in range(50)]
    # Those that the worker has claimed are given back first.
    for future in waiting:
        until(future.cancel, "it to be cancelled")
    (tmp_path / "go").touch()
    long.result(30)


def test_results_come_while_a_long_task_runs_behind_them(site: Site, tmp_path: Path) -> None:
    site.start_workers(1)
    client = site.client()
    warm_up(client)
    futures = [client.submit(square, n) for n in range(20)]
    long = client.submit(wait_for_file, tmp_path / "go")
    assert [future.result(30) for future in futures] == [n * n for n in range(20)]
    (tmp_path / "go").touch()
    long.result(30)


def test_a_portion_is_some_milliseconds_of_work() -> None:
    pace = Pace()
    assert (pace.portion, pace.ahead) == (1, 0)
    pace.add(0.001)
    assert pace.portion == 5
    for _ in range(50):
        pace.add(0.00001)
    assert pace.portion == 128
    pace.add(10.0)
    assert pace.portion > 1
    assert pace.limit < 0.1
    for _ in range(50):
        pace.add(10.0)
    assert (pace.portion, pace.ahead) == (1, 0)
    assert pace.limit > 15.0


def test_a_slow_server_is_asked_for_more_and_less_often() -> None:
    pace = Pace()
    pace.add(0.01)
    assert (pace.portion, pace.patience, pace.stale) == (1, 0.0, 0.1)
    for _ in range(50):
        pace.add_round_trip(0.0005)
    assert (pace.portion, pace.stale) == (1, 0.1)
    assert pace.patience == pytest.approx(0.004, rel=0.01)
    pace.add_round_trip(10.0)
    assert (pace.portion, pace.stale) == (1, 0.1)
    for _ in range(50):
        pace.add_round_trip(0.1)
    # Shorter than others wait before they take what is held.
    assert pace.stale == pytest.approx(0.4, rel=0.01)
    assert pace.patience == pytest.approx(0.16, rel=0.01)
    assert pace.portion == pace.ahead == 15
