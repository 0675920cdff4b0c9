"""What the client keeps of tasks that are over: nothing."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import Future, as_completed
from pathlib import Path

import pytest
from redis_queue_harness import until
from test_redis_queue_executor import touch_and_wait

from dockerparallel_redis_queue_container import ClusterExecutor


class Thing:
    def method(self) -> None:
        """Do nothing, on a worker."""


def test_nothing_is_kept_of_a_task_that_is_over(executor: ClusterExecutor) -> None:
    gc.disable()
    try:
        thing = Thing()
        argument = weakref.ref(thing)
        future = executor.submit(thing.method)
        assert future.result(30) is None
        del thing
        assert argument() is None
        known = weakref.ref(future)
        del future
        # The collector lets it go after its callbacks.
        until(lambda: known() is None, "the future to be dropped")
        value = executor.submit(Thing).result(30)
        result = weakref.ref(value)
        del value
        until(lambda: result() is None, "the result to be dropped")
        assert not executor._client.open_futures(executor._group)
    finally:
        gc.enable()


def test_as_completed_keeps_nothing_of_what_it_gave(executor: ClusterExecutor) -> None:
    futures: list[Future[Thing]] = [executor.submit(Thing) for _ in range(10)]
    gc.disable()
    try:
        for future in as_completed(futures, 30):
            futures.remove(future)
            known, result = weakref.ref(future), weakref.ref(future.result())
            del future
            until(lambda: known() is None and result() is None, "both to be dropped")  # noqa: B023
    finally:
        gc.enable()


def test_a_failure_keeps_no_future(executor: ClusterExecutor) -> None:
    gc.disable()
    try:
        future = executor.submit(divmod, 1, 0)
        known = weakref.ref(future)
        with pytest.raises(ZeroDivisionError) as raised:
            future.result(30)
        del future
        until(lambda: known() is None, "the future to be dropped")
        assert raised.value.__traceback__ is not None
    finally:
        gc.enable()


def test_what_is_not_begun_leaves_the_table_when_it_is_cancelled(
    single: ClusterExecutor, tmp_path: Path
) -> None:
    running = single.submit(touch_and_wait, tmp_path / "begun", tmp_path / "go")
    until((tmp_path / "begun").exists, "it to begin")
    waiting = [single.submit(abs, -number) for number in range(100)]
    single._client.cancel_futures(waiting)
    assert single._client.open_futures(single._group) == [running]
    (tmp_path / "go").touch()
    assert running.result(30) == "go"
