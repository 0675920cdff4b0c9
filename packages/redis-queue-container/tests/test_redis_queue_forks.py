"""A process that is forked while tasks are open: each has its own, and none waits for ever."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, as_completed, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis_queue_harness import Site, until
from test_redis_queue_executor import busy

from dockerparallel import BrokenClusterError
from dockerparallel_redis_queue_container import ClusterExecutor

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def in_a_child(action: Callable[[], object]) -> int:
    """Return the exit code of a forked child: 0 where ``action`` gives something true there."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            # The parent's tests must not wait for a child that hangs.
            signal.alarm(60)
            code = 0 if action() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def is_of_the_parent(future: Future[Any]) -> bool:
    """Tell whether every way of waiting says at once that the result comes to the parent."""
    if wait([future], 30).done != {future} or list(as_completed([future], 30)) != [future]:
        return False
    try:
        future.result(30)
    except BrokenClusterError as error:
        return "comes to the parent" in str(error) and not future.cancel() and future.done()
    return False


def test_each_process_gets_its_own_results(single: ClusterExecutor, tmp_path: Path) -> None:
    mine = busy(single, tmp_path)
    others = [single.submit(abs, -number) for number in range(100)]

    def child() -> bool:
        (tmp_path / "go").touch()
        own = [single.submit(abs, number - 1000) for number in range(100)]
        mapped = list(single.map(abs, range(-20, 0), buffersize=3))
        single.shutdown()
        return [future.result(30) for future in own] == list(range(1000, 900, -1)) and (
            mapped == list(range(20, 0, -1))
        )

    assert in_a_child(child) == 0
    assert mine.result(30) == "go"
    assert [future.result(30) for future in others] == list(range(100))
    assert single.submit(abs, -6).result(30) == 6


def test_the_parents_futures_fail_in_the_child_without_their_callbacks(
    single: ClusterExecutor, tmp_path: Path
) -> None:
    done = single.submit(abs, -3)
    assert done.result(30) == 3
    mine = busy(single, tmp_path)
    waiting = single.submit(abs, -1)
    called: list[Any] = []
    mine.add_done_callback(called.append)

    def child() -> bool:
        parents = is_of_the_parent(mine) and is_of_the_parent(waiting)
        single.shutdown(cancel_futures=True)
        return parents and not called and done.result(0) == 3 and not waiting.cancelled()

    assert in_a_child(child) == 0
    assert not mine.done()
    (tmp_path / "go").touch()
    assert (mine.result(30), waiting.result(30)) == ("go", 1)
    until(lambda: called == [mine], "the callback")


def test_an_iterator_over_the_parents_futures_ends_in_the_child(
    single: ClusterExecutor, tmp_path: Path
) -> None:
    mine = busy(single, tmp_path)
    quick: Future[Any] = Future()
    quick.set_result(1)
    futures: Iterator[Any] = as_completed([quick, mine], 60)
    assert next(futures) is quick
    assert in_a_child(lambda: is_of_the_parent(next(futures))) == 0
    (tmp_path / "go").touch()
    assert list(futures) == [mine]


def test_locks_that_another_thread_holds_hold_up_no_child(
    single: ClusterExecutor, tmp_path: Path
) -> None:
    mine = busy(single, tmp_path)
    client: Any = single._client
    held, done = threading.Event(), threading.Event()
    quick: Future[Any] = Future()
    quick.set_result(1)
    futures: Iterator[Any] = as_completed([mine, quick], 60)
    assert next(futures) is quick
    waiter: Any = mine._waiters[0]

    def hold() -> None:
        with ExitStack() as stack:
            for lock in (
                *(mine._condition, waiter.lock, waiter.event._cond),
                *(client._futures._lock, client._sender._changed, client._collector._delivering),
                client.queue._line._lock,
            ):
                stack.enter_context(lock)
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)

    def child() -> bool:
        if not (is_of_the_parent(mine) and is_of_the_parent(next(futures))):
            return False
        (tmp_path / "go").touch()
        own = single.submit(abs, -8).result(30) == 8
        single.shutdown(cancel_futures=True)
        return own

    try:
        assert in_a_child(child) == 0
    finally:
        done.set()
        thread.join(30)
    assert mine.result(30) == "go"


def test_a_fork_while_other_threads_submit_finds_no_lock_held(executor: ClusterExecutor) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def flood() -> None:
        try:
            while not stop.is_set():
                # Some at a time, so that all of their steps are forked in.
                futures = [executor.submit(abs, -number) for number in range(20)]
                assert [future.result(30) for future in futures] == list(range(20))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=flood) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert in_a_child(lambda: executor.submit(abs, -7).result(30) == 7) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not failures


def test_closing_in_the_child_leaves_the_parent_alone(
    single: ClusterExecutor, tmp_path: Path
) -> None:
    mine = busy(single, tmp_path)

    def child() -> bool:
        single._client.close()
        try:
            single.submit(abs, 1)
        except BrokenClusterError:
            return True
        return False

    assert in_a_child(child) == 0
    (tmp_path / "go").touch()
    assert mine.result(30) == "go"


def test_threads_of_a_child_share_one_new_connection(single: ClusterExecutor, site: Site) -> None:
    assert single.submit(abs, -1).result(30) == 1
    announced = len([name for name in site.stored() if name.startswith("client:")])

    def child() -> bool:
        results: list[int] = []
        barrier = threading.Barrier(8)

        def use() -> None:
            barrier.wait(30)
            results.append(single.submit(abs, -2).result(30))

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        now = len([name for name in site.stored() if name.startswith("client:")])
        return results == [2] * 8 and now == announced + 1

    assert in_a_child(child) == 0
