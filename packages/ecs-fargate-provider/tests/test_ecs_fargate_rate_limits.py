"""Waiting for tokens, the published rates, and what counts as throttling."""

from __future__ import annotations

import threading

import pytest

from dockerparallel import InvalidTypeError, InvalidValueError, WaitTimeoutError
from dockerparallel_ecs_fargate_provider.rate_limits import (
    CLUSTER_READ,
    FARGATE_LAUNCHES,
    READ,
    RUN_STOP,
    TASK_DEFINITION_READ,
    TASK_DEFINITIONS,
    RateLimits,
    TokenBucket,
    throttled,
)


class Time:
    """A clock that only sleeping, or the test, moves on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class FrozenTime(Time):
    """A clock that stands still, so that what each sleeper was told can be compared."""

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def bucket(time: Time, burst: float = 10, rate: float = 2) -> TokenBucket:
    return TokenBucket(burst, rate, time.clock, time.sleep, name="test calls")


def test_a_full_bucket_lets_its_burst_through_at_once() -> None:
    time = Time()
    tokens = bucket(time)
    for _ in range(10):
        tokens.take()
    assert time.slept == []


def test_beyond_the_burst_each_waits_for_its_own_token() -> None:
    time = Time()
    tokens = bucket(time)
    tokens.take(10)
    for _ in range(3):
        tokens.take()
    assert time.slept == [0.5, 0.5, 0.5]


def test_several_tokens_wait_until_all_of_them_are_there() -> None:
    time = Time()
    tokens = bucket(time)
    tokens.take(8)
    tokens.take(5)
    assert time.slept == [1.5]


def test_tokens_come_back_with_time_but_never_above_the_burst() -> None:
    time = Time()
    tokens = bucket(time)
    tokens.take(10)
    time.now += 2
    tokens.take(4)
    assert time.slept == []
    time.now += 1000
    tokens.take(10)
    tokens.take(1)
    assert time.slept == [0.5]


def test_a_clock_that_goes_back_takes_no_token_away() -> None:
    time = Time()
    tokens = bucket(time)
    time.now -= 500
    tokens.take(10)
    assert time.slept == []


def test_callers_wait_in_the_order_in_which_they_came() -> None:
    time = FrozenTime()
    tokens = bucket(time)
    tokens.take(10)
    for n in (6, 1, 1):  # a small wish does not overtake the large one before it
        tokens.take(n)
    assert time.slept == [3, 3.5, 4]


def test_a_wait_that_would_take_too_long_fails_at_once_and_takes_nothing() -> None:
    time = Time()
    tokens = bucket(time)
    tokens.take(10)
    message = (
        r"AWS lets 2 test calls through per second, and 4 more would wait 2\.0 seconds, not at "
        r"most 1\.9"
    )
    with pytest.raises(WaitTimeoutError, match=message):
        tokens.take(4, timeout=1.9)
    assert time.slept == []
    tokens.take(4, timeout=2)
    assert time.slept == [2]


def test_a_timeout_of_zero_takes_only_what_is_there() -> None:
    time = Time()
    tokens = bucket(time)
    tokens.take(10, timeout=0)
    with pytest.raises(WaitTimeoutError):
        tokens.take(1, timeout=0)
    assert time.slept == []


def test_a_caller_that_is_interrupted_gives_its_tokens_back() -> None:
    time = Time()

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    tokens = TokenBucket(10, 2, time.clock, interrupt)
    tokens.take(10)
    with pytest.raises(KeyboardInterrupt):
        tokens.take(10)
    time.now += 1
    tokens.take(2, timeout=0)


def test_no_lock_is_held_during_a_sleep() -> None:
    time = Time()
    refused: list[bool] = []

    def others(seconds: float) -> None:
        other = threading.Thread(target=tokens.drain, daemon=True)
        other.start()
        other.join(10)
        refused.append(other.is_alive())

    tokens = TokenBucket(10, 2, time.clock, others)
    tokens.take(10)
    tokens.take(1)
    assert refused == [False]


def test_tokens_are_counted_by_one_thread_at_a_time() -> None:
    held: list[bool] = []

    def clock() -> float:
        held.append(bool(buckets) and buckets[0]._lock.locked())
        return 1000.0

    buckets: list[TokenBucket] = []
    buckets.append(TokenBucket(10, 2, clock))
    buckets[0].take()
    buckets[0].drain()
    assert held == [False, True, True]


def test_threads_share_the_tokens_and_none_is_given_twice() -> None:
    time = FrozenTime()
    tokens = bucket(time, burst=10, rate=1)
    start = threading.Barrier(8)

    def work() -> None:
        start.wait(10)
        for _ in range(50):
            tokens.take()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(time.slept) == list(range(1, 391))


def test_a_drained_bucket_fills_from_nothing() -> None:
    time = Time()
    tokens = bucket(time)
    tokens.drain()
    tokens.take(2)
    assert time.slept == [1]


def test_draining_does_not_shorten_the_wait_of_those_after() -> None:
    time = FrozenTime()
    tokens = bucket(time)
    tokens.take(10)
    tokens.take(10)
    tokens.drain()
    tokens.take(2)
    assert time.slept == [5, 6]


@pytest.mark.parametrize("n", [0, -1, 10.5, float("nan")])
def test_a_number_of_tokens_that_never_comes_is_refused(n: float) -> None:
    with pytest.raises(InvalidValueError, match=r"at most 10, the most .* for test calls ever"):
        bucket(Time()).take(n)


@pytest.mark.parametrize(
    ("burst", "rate", "message"),
    [
        (0.5, 1, "burst must be at least 1"),
        (float("inf"), 1, "burst must be at least 1 and finite"),
        (float("nan"), 1, "burst must be"),
        (1, 0, "rate must be above 0"),
        (1, float("inf"), "rate must be above 0 and finite"),
    ],
)
def test_a_bucket_that_cannot_be_is_refused(burst: float, rate: float, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        TokenBucket(burst, rate)


def test_a_rate_in_words_is_refused() -> None:
    with pytest.raises(InvalidTypeError, match="rate must be a number, not '1'"):
        TokenBucket(1, "1")  # type: ignore[arg-type]


def test_the_real_clock_needs_no_arguments() -> None:
    TokenBucket(1, 1).take(timeout=0)


@pytest.mark.parametrize(
    ("action", "burst", "rate"),
    [
        ("RunTask", 100, 40),
        ("StopTask", 100, 40),
        ("DescribeTasks", 100, 20),
        ("ListTasks", 100, 20),
        ("DescribeClusters", 50, 20),
        ("ListClusters", 50, 20),
        ("RegisterTaskDefinition", 20, 1),
        ("DeregisterTaskDefinition", 20, 1),
        ("DescribeTaskDefinition", 50, 20),
        ("ListTaskDefinitions", 50, 20),
        ("DeleteTaskDefinitions", 5, 1),
        ("TagResource", 20, 10),
        ("ListTagsForResource", 50, 20),
    ],
)
def test_the_rate_of_an_action_is_the_published_one(action: str, burst: int, rate: int) -> None:
    found = RateLimits().for_action(action)
    assert found is not None
    assert (found.burst, found.rate) == (burst, rate)


def test_the_published_limits_have_a_source() -> None:
    for limit in (RUN_STOP, READ, CLUSTER_READ, TASK_DEFINITIONS, TASK_DEFINITION_READ):
        assert "Request throttling for the Amazon ECS API" in limit.source
    assert "Fargate throttling quotas" in FARGATE_LAUNCHES.source
    assert (FARGATE_LAUNCHES.burst, FARGATE_LAUNCHES.rate) == (100, 20)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("RunTask", "StopTask"),
        ("DescribeTasks", "ListTasks"),
        ("RegisterTaskDefinition", "DeregisterTaskDefinition"),
    ],
)
def test_actions_of_one_group_share_their_tokens(one: str, other: str) -> None:
    limits = RateLimits()
    assert limits.for_action(one) is limits.for_action(other)


def test_groups_have_tokens_of_their_own() -> None:
    limits = RateLimits()
    actions = ("RunTask", "DescribeTasks", "DescribeClusters", "RegisterTaskDefinition")
    found = [limits.for_action(action) for action in actions]
    found += [limits.launches(), limits.launches(spot=True)]
    assert len({id(each) for each in found}) == len(found)


def test_an_action_that_is_not_counted_has_no_bucket() -> None:
    assert RateLimits().for_action("PutClusterCapacityProviders") is None


def test_the_clock_of_the_limits_is_that_of_their_buckets() -> None:
    time = Time()
    launches = RateLimits(time.clock, time.sleep).launches()
    launches.take(100)
    launches.take(10)
    assert time.slept == [0.5]


def test_limits_of_two_sessions_are_apart() -> None:
    assert RateLimits().for_action("RunTask") is not RateLimits().for_action("RunTask")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ThrottlingException", "Rate exceeded"),
        ("Throttling", ""),
        ("RequestLimitExceeded", "Request limit exceeded."),
        ("TooManyRequestsException", ""),
        ("SlowDown", ""),
        ("ClientException", "Too many concurrent attempts to create a new revision."),
        ("InvalidParameterException", "Rate exceeded"),
        ("ServerException", "Service was throttled; try again"),
        ("", "Rate exceeded (Service: AmazonECS)"),
        ("LimitExceededException", "Rate exceeded"),
        ("ClientException", "too many requests"),
    ],
)
def test_throttling_is_recognised(code: str, message: str) -> None:
    assert throttled(code, message)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "You've reached the limit on the number of vCPUs you can run concurrently"),
        ("ClientException", "You’ve reached the limit on the number of tasks"),  # noqa: RUF001
        ("LimitExceededException", "You have reached the limit of 10 clusters"),
        ("ServiceQuotaExceededException", "Rate exceeded is not meant"),
        ("AccessDeniedException", "not authorized to perform: ecs:RunTask"),
        ("ClusterNotFoundException", "Cluster throttling-test not found."),
        ("", "Capacity is unavailable at this time."),
        ("InvalidParameterException", "Unable to assume the role"),
    ],
)
def test_what_no_waiting_helps_against_is_not_throttling(code: str, message: str) -> None:
    assert not throttled(code, message)
