"""``Executor.map`` with a buffer: what it takes, when, and how much is open meanwhile."""

from __future__ import annotations

import gc
import itertools
import operator
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis_queue_harness import Site, until
from test_redis_queue_executor import wait_for_file

from dockerparallel_redis_queue_container import ClusterExecutor


class Counted:
    """An iterator that knows how many items were taken from it."""

    def __init__(self, items: Any) -> None:
        self.items = iter(items)
        self.taken = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        item = next(self.items)
        self.taken += 1
        return item


class Thing:
    """What a weak reference can be made to."""


def thing(*_: Any) -> Thing:
    return Thing()


@pytest.mark.parametrize("buffersize", [1, 2, 4, 8])
def test_a_buffer_changes_no_result(executor: ClusterExecutor, buffersize: int) -> None:
    assert list(executor.map(str, range(4), buffersize=buffersize)) == ["0", "1", "2", "3"]
    both = executor.map(operator.add, range(4), range(9), buffersize=buffersize)
    assert list(both) == [0, 2, 4, 6]
    chunks = executor.map(abs, range(-10, 0), chunksize=3, buffersize=buffersize)
    assert list(chunks) == list(range(10, 0, -1))
    assert list(executor.map(str, [], buffersize=buffersize)) == []
    assert list(executor.map(str, buffersize=buffersize)) == []


@pytest.mark.parametrize("chunksize", [1, 4])
def test_one_task_follows_each_result(executor: ClusterExecutor, chunksize: int) -> None:
    items = Counted(itertools.count())
    results = executor.map(abs, items, buffersize=3, chunksize=chunksize)
    # The first ones are taken at once, and no other before a result is asked for.
    assert items.taken == 3 * chunksize
    for number in range(20):
        assert next(results) == number
        assert items.taken == (4 + number // chunksize) * chunksize


def test_no_item_is_taken_while_a_result_is_waited_for(
    executor: ClusterExecutor, tmp_path: Path
) -> None:
    items = Counted([tmp_path / "go", *[tmp_path] * 10])
    results = executor.map(wait_for_file, items, buffersize=2)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(next, results)
        until(lambda: len(executor._client.open_futures(executor._group)) == 1, "the second")
        assert (items.taken, first.done()) == (2, False)
        (tmp_path / "go").touch()
        assert first.result(30) == "go"
    assert items.taken == 3


@pytest.mark.parametrize("buffersize", ["foo", 2.0, [1]])
def test_a_buffersize_of_another_type_is_refused(
    executor: ClusterExecutor, buffersize: Any
) -> None:
    items = Counted([1])
    with pytest.raises(TypeError, match="buffersize must be an integer or None"):
        executor.map(abs, items, buffersize=buffersize)
    assert items.taken == 0


@pytest.mark.parametrize("buffersize", [0, -1])
def test_a_buffersize_without_room_is_refused(executor: ClusterExecutor, buffersize: int) -> None:
    with pytest.raises(ValueError, match=r"buffersize must be None or > 0.*>= 1"):
        executor.map(abs, [1], buffersize=buffersize)


def test_a_very_long_iterable_takes_no_memory(executor: ClusterExecutor) -> None:
    items = Counted(range(100_000))
    most = 0
    results = executor.map(operator.neg, items, buffersize=5, chunksize=100)
    for number, result in enumerate(results):
        assert result == -number
        if number % 50 == 0:
            assert items.taken <= number + 6 * 100
            most = max(most, len(executor._client.open_futures(executor._group)))
    assert (number, items.taken) == (99_999, 100_000)
    assert 1 <= most <= 5


def test_never_more_tasks_are_open_than_the_buffer_has_room(executor: ClusterExecutor) -> None:
    client = executor._client
    most = 0

    def items() -> Iterator[int]:
        nonlocal most
        for number in range(500):
            most = max(most, len([f for f in client.open_futures(executor._group) if not f.done()]))
            yield number

    assert list(executor.map(abs, items(), buffersize=7)) == list(range(500))
    # Those that are open when one more is taken.
    assert 1 <= most <= 6


def test_the_iterator_goes_on_where_nobody_else_has_the_executor(
    site: Site,
) -> None:
    site.start_workers(1)
    results = ClusterExecutor(site.client()).map(abs, range(10), buffersize=2)
    gc.collect()
    assert list(results) == list(range(10))


def test_after_a_shutdown_the_iterator_says_that_items_are_left(executor: ClusterExecutor) -> None:
    items = Counted(range(4))
    results = executor.map(str, items, buffersize=2)
    executor.shutdown()
    assert next(items) == 2
    with pytest.raises(RuntimeError, match="after shutdown"):
        list(results)


def test_an_iterable_that_fails_ends_the_iterator(executor: ClusterExecutor, site: Site) -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise LookupError("no more")

    results = executor.map(abs, items(), buffersize=2)
    assert next(results) == 0
    with pytest.raises(LookupError, match="no more"):
        list(results)
    assert list(results) == []
    until(lambda: site.queue().numbers().sizes == {"waiting": 0, "running": 0}, "no tasks")


@pytest.mark.parametrize("buffersize", [None, 3])
@pytest.mark.parametrize("chunksize", [1, 2])
def test_leaving_the_iterator_cancels_the_rest(
    site: Site, tmp_path: Path, buffersize: int | None, chunksize: int
) -> None:
    site.start_workers(1)
    executor = ClusterExecutor(site.client())
    (tmp_path / "first").touch()
    paths = [tmp_path / "first"] * chunksize + [tmp_path / "go"] * 12
    results: Any = executor.map(wait_for_file, paths, buffersize=buffersize, chunksize=chunksize)
    assert next(results) == "first"
    results.close()
    with pytest.raises(StopIteration):
        next(results)
    until(lambda: site.queue().numbers().sizes["waiting"] == 0, "the rest to be cancelled")
    (tmp_path / "go").touch()
    executor.shutdown()


def test_an_iterator_that_was_not_asked_lets_its_tasks_run(
    executor: ClusterExecutor, tmp_path: Path
) -> None:
    executor.map(Path.touch, [tmp_path / str(number) for number in range(20)])
    executor.shutdown()
    assert len([path for path in tmp_path.iterdir() if path.name.isdigit()]) == 20


def test_tasks_begin_while_a_slow_iterable_is_used_up(
    executor: ClusterExecutor, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"

    def items() -> Iterator[Path]:
        # Far fewer than are sent at once.
        for _ in range(200):
            yield begun
            if begun.exists():
                return
            time.sleep(0.01)
        pytest.fail("no task has begun")

    assert set(executor.map(Path.touch, items())) == {None}


@pytest.mark.parametrize("options", [{}, {"buffersize": 2}, {"chunksize": 3}])
def test_the_iterator_keeps_no_result(executor: ClusterExecutor, options: Any) -> None:
    gc.disable()
    try:
        for value in executor.map(thing, range(6), **options):
            gone = weakref.ref(value)
            del value
            assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("buffersize", [None, 2])
def test_an_exception_of_a_task_keeps_no_future(
    executor: ClusterExecutor, buffersize: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[Future[Any]]] = []
    new_future: Any = executor._client._new_future

    def watched(group: object) -> Any:
        future = new_future(group)
        made.append(weakref.ref(future))
        return future

    monkeypatch.setattr(executor._client, "_new_future", watched)
    gc.disable()
    try:
        results = executor.map(operator.truediv, [1] * 5, [1, 0, 1, 1, 1], buffersize=buffersize)
        with pytest.raises(ZeroDivisionError) as raised:
            list(results)
        # The error is still there, and its traceback with all frames.
        until(lambda: not any(ref() for ref in made), "the futures to be dropped")
        assert raised.value.__traceback__ is not None
    finally:
        gc.enable()


def test_an_iterator_may_be_dropped_while_its_thread_submits(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage collection runs anywhere, so also where this thread holds the connection."""
    site.start_workers(1)
    client = site.client()
    executor = ClusterExecutor(client)
    lost: list[Any] = [executor.map(abs, range(100))]
    assert next(lost[0]) == 0
    connection: Any = client.queue._line._connection
    send: Any = connection.send_packed_command

    def dropping(*parts: Any) -> None:
        lost.clear()
        send(*parts)

    monkeypatch.setattr(connection, "send_packed_command", dropping)
    done = threading.Event()

    def use() -> None:
        if list(executor.map(abs, [-1])) == [1]:
            done.set()

    threading.Thread(target=use, daemon=True).start()
    assert done.wait(30)
    assert not lost
