"""Callbacks of futures: their order, their failures, and what they may do."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis_queue_harness import until
from test_redis_queue_executor import busy, wait_for_file

from dockerparallel_redis_queue_container import ClusterExecutor


def test_callbacks_run_in_their_order_and_a_bad_one_is_logged(
    single: ClusterExecutor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    future = busy(single, tmp_path)
    seen: list[int] = []

    def fail(_: Any) -> None:
        raise ValueError("a bad callback")

    future.add_done_callback(lambda _: seen.append(1))
    future.add_done_callback(fail)
    future.add_done_callback(lambda _: seen.append(2))
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        (tmp_path / "go").touch()
        until(lambda: seen == [1, 2], "the callbacks")
    assert "a bad callback" in caplog.text


def test_a_callback_that_exits_does_not_end_the_delivery(
    executor: ClusterExecutor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    future = executor.submit(wait_for_file, tmp_path / "go")

    def leave(_: Any) -> None:
        raise SystemExit("from a callback")

    future.add_done_callback(leave)
    (tmp_path / "go").touch()
    assert executor.submit(abs, -1).result(30) == 1
    until(lambda: "from a callback" in caplog.text, "the log")
    assert list(executor.map(abs, [-2])) == [2]


def test_a_callback_may_submit(executor: ClusterExecutor) -> None:
    depth, finished = 50, threading.Event()
    values: list[int] = []

    def go_on(future: Any) -> None:
        values.append(future.result())
        if len(values) == depth:
            finished.set()
        else:
            executor.submit(abs, -len(values)).add_done_callback(go_on)

    executor.submit(abs, 0).add_done_callback(go_on)
    assert finished.wait(30)
    assert values == list(range(depth))


def test_callbacks_may_submit_many_at_once(executor: ClusterExecutor) -> None:
    finished = threading.Event()
    results: list[Any] = []

    def use_map(_: Any) -> None:
        results.append(executor.map(abs, range(700), chunksize=7))
        finished.set()

    executor.submit(abs, 0).add_done_callback(use_map)
    assert finished.wait(30)
    assert list(results[0]) == list(range(700))


def test_a_callback_may_cancel_and_shut_down(single: ClusterExecutor, tmp_path: Path) -> None:
    running = busy(single, tmp_path)
    behind = single.submit(wait_for_file, tmp_path / "last")
    unwanted = single.submit(abs, -1)
    finished = threading.Event()
    said: list[str] = []

    def end(_: Any) -> None:
        unwanted.cancel()
        try:
            single.shutdown()
        except RuntimeError as error:
            said.append(str(error))
        finished.set()

    running.add_done_callback(end)
    (tmp_path / "go").touch()
    assert finished.wait(30)
    # The result that it would wait for comes after the callback.
    assert "shutdown(wait=False)" in said[0]
    assert unwanted.cancelled()
    with pytest.raises(RuntimeError, match="after shutdown"):
        single.submit(abs, 1)
    (tmp_path / "last").touch()
    assert behind.result(30) == "last"


def test_shutdown_waits_for_callbacks(single: ClusterExecutor, tmp_path: Path) -> None:
    future = busy(single, tmp_path)
    seen: list[bool] = []
    in_callback = threading.Event()

    def slow(_: Any) -> None:
        in_callback.set()
        wait_for_file(tmp_path / "called")
        seen.append(True)

    def end() -> list[bool]:
        single.shutdown()
        return list(seen)

    future.add_done_callback(slow)
    (tmp_path / "go").touch()
    assert in_callback.wait(30)
    assert future.done()
    with ThreadPoolExecutor(1) as pool:
        at_the_end = pool.submit(end)
        (tmp_path / "called").touch()
        assert at_the_end.result(30) == [True]
