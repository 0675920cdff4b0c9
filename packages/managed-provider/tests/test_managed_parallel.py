"""Doing the same with many containers at a time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from managed_sessions import run_session, session

from dockerparallel_managed_provider import parallel
from dockerparallel_managed_provider.parallel import for_each


def half(number: int) -> float:
    if number % 2:
        raise ValueError(number)
    return number / 2


def test_results_and_errors_come_in_order() -> None:
    first, second, third = for_each(half, [4, 3, 2], at_a_time=8)
    assert (first, third) == (2.0, 1.0)
    assert isinstance(second, ValueError)


def test_nothing_to_do() -> None:
    assert for_each(half, [], at_a_time=8) == []


def test_as_many_run_at_a_time_as_may() -> None:
    together = threading.Barrier(3)
    busy, most, lock = 0, 0, threading.Lock()

    def work(_: int) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        together.wait(timeout=60)
        with lock:
            busy -= 1

    assert for_each(work, range(9), at_a_time=3) == [None] * 9
    assert most == 3


def test_after_an_error_nothing_more_is_begun() -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 2:
            raise ValueError("no more")

    outcomes = for_each(work, range(6), at_a_time=1, stop_at_error=True)
    assert begun == [0, 1, 2]
    assert outcomes[:2] == [None, None]
    assert [str(outcome) for outcome in outcomes[2:]] == ["no more"] * 4


def test_without_that_all_are_begun() -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        raise ValueError("go on")

    for_each(work, range(6), at_a_time=1)
    assert begun == list(range(6))


def test_progress_is_told_from_the_calling_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_TELL_SECONDS", 0.001)
    last = threading.Event()
    told: list[tuple[int, int]] = []

    def tell(done: int) -> None:
        told.append((done, threading.get_ident()))
        last.set()

    def work(number: int) -> None:
        if number == 1:
            # Until the first one has been told.
            assert last.wait(timeout=60)

    for_each(work, range(2), at_a_time=2, tell=tell)
    assert told[0] == (1, threading.get_ident())
    assert [done for done, _ in told] in ([1], [1, 2])


def test_what_is_quick_tells_nothing() -> None:
    told: list[int] = []
    for_each(half, range(4), at_a_time=2, tell=told.append)
    assert told == []


@pytest.mark.parametrize("startable", [0, 1])
def test_where_no_thread_can_be_started_each_is_done_once(
    monkeypatch: pytest.MonkeyPatch, startable: int
) -> None:
    """One thread may have been started before: what it was to do must not be done again."""
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def refuse(thread: threading.Thread) -> None:
        if len(started) >= startable:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done: list[int] = []
    lock = threading.Lock()

    def work(number: int) -> int:
        with lock:
            done.append(number)
        return -number

    assert for_each(work, range(20), at_a_time=4) == [-number for number in range(20)]
    assert sorted(done) == list(range(20))


def test_errors_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    first, second = for_each(half, [2, 3], at_a_time=4)
    assert first == 1.0
    assert isinstance(second, ValueError)


def test_at_interpreter_exit_it_works_without_threads() -> None:
    script = """
import weakref
from dockerparallel_managed_provider.parallel import for_each

class Held:
    pass

held = Held()
weakref.finalize(held, lambda: print(for_each(str, [1, 2], at_a_time=2)))
"""
    assert run_session(script) == "['1', '2']\n"


INTERRUPTED = """
import os, signal, sys, threading, time
from dockerparallel_managed_provider.parallel import for_each

begun, going_on, ended = [], threading.Event(), []

def work(number):
    begun.append(number)
    if len(begun) == 2:
        print("begun", flush=True)
    going_on.wait(60)
    ended.append(number)

# The caller is interrupted while it waits; what was begun goes on to its end.
threading.Thread(target=lambda: (sys.stdin.read(), going_on.set()), daemon=True).start()
try:
    for_each(work, range(10), at_a_time=2)
except KeyboardInterrupt:
    print("interrupted", begun == [0, 1], sorted(ended) == [0, 1])
"""


def test_an_interrupt_waits_for_what_was_begun_and_begins_no_more() -> None:
    with session(INTERRUPTED) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert output == "interrupted True True\n", errors


def test_a_thread_that_an_interrupted_pool_does_not_know_of_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, going_on, ended = threading.Event(), threading.Event(), []

    def work(number: int) -> None:
        begun.set()
        going_on.wait(60)
        ended.append(number)

    def interrupted(_pool: ThreadPoolExecutor, call: Callable[[], None]) -> None:
        threading.Thread(target=call).start()
        # Without the waiting, the caller goes on long before.
        threading.Timer(0.2, going_on.set).start()
        assert begun.wait(60)
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        for_each(work, [7], at_a_time=2)
    assert ended == [7]
