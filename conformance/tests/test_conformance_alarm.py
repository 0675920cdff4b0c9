"""A check ends in time, whatever it does."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dockerparallel import ClusterStateError
from dockerparallel_conformance import alarm, general_docker_cluster_test
from dockerparallel_conformance.alarm import TimeLimitReached, lift_limits, time_limit, unhurried


def test_what_waits_for_ever_is_ended() -> None:
    with pytest.raises(TimeLimitReached), time_limit(0.05):
        threading.Event().wait()


def test_what_holds_on_to_a_lock_is_ended() -> None:
    lock = threading.Lock()
    with lock, pytest.raises(TimeLimitReached), time_limit(0.05):
        lock.acquire()


def test_code_that_catches_every_exception_is_ended() -> None:
    def stubborn() -> None:
        while True:
            with contextlib.suppress(Exception):
                threading.Event().wait()

    with pytest.raises(TimeLimitReached), time_limit(0.05):
        stubborn()


def test_code_that_catches_even_the_alarm_gets_another() -> None:
    caught = 0

    def stubborn() -> None:
        nonlocal caught
        try:
            threading.Event().wait()
        except BaseException:  # noqa: BLE001 - what some code really does
            caught += 1
        threading.Event().wait()

    with pytest.raises(TimeLimitReached), time_limit(0.05):
        stubborn()
    assert caught == 1


class Thing:
    """Something that is finalized when it is dropped."""


class ClosesItself:
    def __init__(self, close: Callable[[], object]) -> None:
        self.close = close

    def __del__(self) -> None:
        self.close()


def drop_and_wait(close: Callable[[], object], *, by_del: bool) -> None:
    if by_del:
        ClosesItself(close)
    else:
        weakref.finalize(Thing(), close)
    threading.Event().wait()


@pytest.mark.parametrize("by_del", [True, False])
def test_an_alarm_that_rings_in_a_finalizer_rings_again(
    by_del: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    with pytest.raises(TimeLimitReached), time_limit(0.05):
        drop_and_wait(threading.Event().wait, by_del=by_del)
    assert told == [], "nobody is told that it was dropped the first time"
    assert sys.unraisablehook == told.append


def test_other_errors_of_finalizers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    with pytest.raises(TimeLimitReached), time_limit(0.05):
        drop_and_wait([].pop, by_del=False)
    assert [one.exc_type for one in told] == [IndexError]


def test_what_is_being_made_is_made() -> None:
    made = []

    def make_and_wait() -> None:
        with unhurried():
            # The alarm rings meanwhile.
            threading.Event().wait(0.3)
            made.append(True)
        threading.Event().wait()

    with pytest.raises(TimeLimitReached), time_limit(0.05):
        make_and_wait()
    assert made == [True]


def test_what_takes_too_long_to_be_made_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm, "_GRACE_SECONDS", 0.1)
    with pytest.raises(TimeLimitReached), time_limit(0.05), unhurried():
        threading.Event().wait()


def test_an_alarm_that_was_set_before_goes_on_afterwards() -> None:
    rang = threading.Event()
    before = signal.signal(signal.SIGALRM, lambda *_: rang.set())
    old = signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with time_limit(30):
            pass
        assert rang.wait(timeout=10), "the alarm that was set before never rang"
    finally:
        signal.setitimer(signal.ITIMER_REAL, *old)
        signal.signal(signal.SIGALRM, before)


def test_nothing_rings_after_the_block() -> None:
    before = signal.getsignal(signal.SIGALRM)
    left_before, _ = signal.getitimer(signal.ITIMER_REAL)
    with time_limit(0.05):
        pass
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    assert (left > 0) is (left_before > 0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_limit_that_was_not_lifted_is_lifted_where_its_error_is_handled() -> None:
    before = signal.getsignal(signal.SIGALRM)
    left_before, _ = signal.getitimer(signal.ITIMER_REAL)
    abandoned = time_limit(0.05)
    abandoned.__enter__()
    with pytest.raises(TimeLimitReached):
        threading.Event().wait()
    lift_limits()
    lift_limits()
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    assert (left > 0) is (left_before > 0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_another_thread_is_refused_before_anything_starts() -> None:
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(general_docker_cluster_test, "no such provider", "no such container")
        with pytest.raises(ClusterStateError, match="main thread"):
            call.result(timeout=30)
