"""How often ECS and Fargate may be called, and waiting so that it is not more often.

AWS counts by token buckets, one per account, Region and group of actions: a call takes a token,
and tokens come back at a steady rate up to the size of the bucket. The buckets here follow those
of AWS, so that a large cluster starts at the full rate without being refused. They cannot know
what others in the same account call: a refusal stays possible, see :func:`throttled` and
:meth:`TokenBucket.drain`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dockerparallel import InvalidTypeError, InvalidValueError, WaitTimeoutError

_ECS_PAGE = 'AWS documentation, "Request throttling for the Amazon ECS API"'
_FARGATE_PAGE = 'AWS documentation, "AWS Fargate throttling quotas"'


@dataclass(frozen=True, slots=True)
class Limit:
    """The published size and rate of one bucket of AWS's.

    Parameters
    ----------
    name
        What it limits, for messages.
    burst
        Tokens of a full bucket.
    rate
        Tokens that come back per second.
    source
        Where AWS publishes the numbers. An account may have others, after a request to AWS.
    """

    name: str
    burst: float
    rate: float
    source: str = _ECS_PAGE


RUN_STOP = Limit("cluster resource modify actions", 100, 40)
"""RunTask and StopTask, which share one bucket; a token per call, not per task."""

FARGATE_LAUNCHES = Limit("tasks launched on Fargate", 100, 20, _FARGATE_PAGE)
"""Tasks that start on Fargate; on demand and Spot have a bucket each. A token per task."""

READ = Limit("cluster resource read actions", 100, 20)
"""DescribeTasks and ListTasks."""

CLUSTER_READ = Limit("cluster read actions", 50, 20)
"""DescribeClusters and ListClusters."""

TASK_DEFINITIONS = Limit("task definition modify actions", 20, 1)
"""RegisterTaskDefinition and DeregisterTaskDefinition."""

TASK_DEFINITION_READ = Limit("task definition read actions", 50, 20)
"""DescribeTaskDefinition, ListTaskDefinitions and ListTaskDefinitionFamilies."""

TASK_DEFINITION_DELETION = Limit("task definition deletion actions", 5, 1)
"""DeleteTaskDefinitions."""

TAG_MODIFY = Limit("tag modify actions", 20, 10)
"""TagResource and UntagResource."""

TAG_READ = Limit("tag read actions", 50, 20)
"""ListTagsForResource."""

_ACTIONS: dict[Limit, tuple[str, ...]] = {
    RUN_STOP: ("RunTask", "StopTask", "StartTask", "ExecuteCommand"),
    READ: ("DescribeTasks", "ListTasks", "DescribeContainerInstances", "ListContainerInstances"),
    CLUSTER_READ: ("DescribeClusters", "ListClusters"),
    TASK_DEFINITIONS: ("RegisterTaskDefinition", "DeregisterTaskDefinition"),
    TASK_DEFINITION_READ: (
        "DescribeTaskDefinition",
        "ListTaskDefinitions",
        "ListTaskDefinitionFamilies",
    ),
    TASK_DEFINITION_DELETION: ("DeleteTaskDefinitions",),
    TAG_MODIFY: ("TagResource", "UntagResource"),
    TAG_READ: ("ListTagsForResource",),
}


class TokenBucket:
    """Lets callers through in the order in which they came, no faster than the rate.

    Thread-safe. A caller takes its tokens at once, on credit if need be, and then sleeps until
    they would have been there: so nobody overtakes, and no lock is held during a sleep.

    Parameters
    ----------
    burst
        Tokens of a full bucket, which it is at first. At least 1.
    rate
        Tokens that come back per second, up to ``burst``. Above 0.
    clock
        Returns the seconds since some fixed time and never goes back.
    sleep
        Sleeps for a number of seconds, and never for less.
    name
        What the bucket limits, for messages.

    Raises
    ------
    InvalidTypeError
        ``burst`` or ``rate`` is no number.
    InvalidValueError
        ``burst`` is below 1 or ``rate`` not above 0, or either is infinite.
    """

    def __init__(
        self,
        burst: float,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        name: str = "calls",
    ) -> None:
        for what, value in (("burst", burst), ("rate", rate)):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InvalidTypeError(f"{what} must be a number, not {value!r}.")
        if not 1 <= burst < math.inf:
            raise InvalidValueError(f"burst must be at least 1 and finite, not {burst}.")
        if not 0 < rate < math.inf:
            raise InvalidValueError(f"rate must be above 0 and finite, not {rate}: per second.")
        self.burst = burst
        self.rate = rate
        self.name = name
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._counted_at = clock()

    def take(self, n: float = 1, timeout: float | None = None) -> None:
        """Wait until ``n`` tokens are there, and take them.

        Blocks for as long as the tokens of this caller and of those before it need. Interrupted
        while it sleeps, it gives its tokens back.

        Parameters
        ----------
        n
            Tokens: above 0, and at most ``burst``, as AWS's own bucket never holds more.
        timeout
            Seconds that it may wait: known at once, so a call that would take longer fails
            without waiting and without taking. ``0``: only what is there now. ``None``
            (default): as long as it takes.

        Raises
        ------
        InvalidValueError
            ``n`` is not above 0, or more than the bucket ever holds.
        WaitTimeoutError
            It would take longer than ``timeout``.
        """
        if not 0 < n <= self.burst:
            raise InvalidValueError(
                f"n must be above 0 and at most {self.burst:g}, the most tokens that the bucket "
                f"for {self.name} ever holds, not {n}: take fewer at a time."
            )
        with self._lock:
            self._refill()
            wait = max(0.0, (n - self._tokens) / self.rate)
            if timeout is not None and wait > timeout:
                raise WaitTimeoutError(
                    f"AWS lets {self.rate:g} {self.name} through per second, and {n:g} more would "
                    f"wait {wait:.1f} seconds, not at most {timeout:g}: allow more time, or start "
                    "fewer at once."
                )
            self._tokens -= n
        if wait > 0:
            try:
                self._sleep(wait)
            except BaseException:
                with self._lock:
                    self._tokens += n
                raise

    def drain(self) -> None:
        """Forget the tokens that are left, because AWS just said that it has none.

        Called after a throttled call: others in the account took the tokens. Idempotent, and
        never blocks; those who already wait are not delayed.
        """
        with self._lock:
            self._refill()
            self._tokens = min(self._tokens, 0.0)

    def _refill(self) -> None:
        now = self._clock()
        passed = max(0.0, now - self._counted_at)
        self._tokens = min(self.burst, self._tokens + passed * self.rate)
        self._counted_at = now


class RateLimits:
    """One bucket for each group of actions, to be shared by all clusters of a session and Region.

    Thread-safe. Made by whoever holds the boto3 session, once for each Region.

    Parameters
    ----------
    clock, sleep
        As for :class:`TokenBucket`.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        def bucket(limit: Limit) -> TokenBucket:
            return TokenBucket(limit.burst, limit.rate, clock, sleep, name=limit.name)

        self._launches = {spot: bucket(FARGATE_LAUNCHES) for spot in (False, True)}
        self._by_action: dict[str, TokenBucket] = {}
        for limit, actions in _ACTIONS.items():
            self._by_action.update(dict.fromkeys(actions, bucket(limit)))

    def for_action(self, action: str) -> TokenBucket | None:
        """Return the bucket of an ECS action, or ``None`` where none is kept for it.

        Parameters
        ----------
        action
            The name of the action as in the API: ``"RunTask"``. Take one token per call; for
            RunTask also one per task from :meth:`launches`.
        """
        return self._by_action.get(action)

    def launches(self, *, spot: bool = False) -> TokenBucket:
        """Return the bucket that counts tasks started on Fargate, on demand or as Spot."""
        return self._launches[spot]


_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
# Codes that say nothing by themselves, so that the text decides.
_VAGUE_CODES = frozenset(
    {
        "",
        "ClientException",
        "InvalidParameterException",
        "LimitExceededException",  # a quota with ECS, though botocore counts it as throttling
        "ServerException",
        "Unknown",
    }
)
_TEXTS = ("rate exceeded", "throttl", "too many requests", "too many concurrent")


def throttled(code: str, message: str) -> bool:
    """Return whether AWS asks to call less often.

    Pure. A quota (``"You've reached the limit on the number of vCPUs"``) is none: waiting does
    not help against it.

    Parameters
    ----------
    code
        The code of the error, as in ``ClientError.response["Error"]["Code"]``; ``""`` for an
        entry of RunTask's ``failures``, which has none. The codes are those that botocore's
        standard retry mode takes for throttling, but for ``LimitExceededException``.
    message
        The text of the error. It decides only where the code may mean anything.
    """
    if code in _CODES:
        return True
    text = message.lower()
    return code in _VAGUE_CODES and any(part in text for part in _TEXTS)
