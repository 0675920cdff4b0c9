"""Ending tasks, many at a time."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dockerparallel_ecs_fargate_provider.api import AWS, CALLS_AT_A_TIME
from dockerparallel_ecs_fargate_provider.book import described
from dockerparallel_ecs_fargate_provider.errors import AWSError, AWSTimeoutError
from dockerparallel_managed_provider import for_each

if TYPE_CHECKING:
    from dockerparallel.log import ClusterLogger

_LONGEST_PAUSE = 4.0
_GONE = frozenset({"ClusterNotFoundException", "InvalidParameterException"})


def stop_tasks(
    aws: AWS,
    ecs_cluster: str,
    arns: Sequence[str],
    reason: str,
    logger: ClusterLogger | None = None,
) -> dict[str, Exception]:
    """Tell tasks to end; return those that could not be told, and why.

    Idempotent. Works at interpreter exit, too. A task that ECS does not know has ended.

    Parameters
    ----------
    reason
        What ECS shows as the reason, at most 255 characters.
    """

    def stop(arn: str) -> None:
        try:
            aws.call("ecs", "StopTask", cluster=ecs_cluster, task=arn, reason=reason[:255])
        except AWSError as error:
            if error.code not in _GONE or "not found" not in error.text.lower():
                raise

    outcomes = for_each(
        stop,
        arns,
        at_a_time=CALLS_AT_A_TIME,
        tell=None
        if logger is None
        else lambda done: logger.info("Ended %d of %d tasks.", done, len(arns)),
    )
    return {
        arn: outcome
        for arn, outcome in zip(arns, outcomes, strict=True)
        if isinstance(outcome, Exception)
    }


def wait_for_end(aws: AWS, ecs_cluster: str, arn: str, *, what: str, timeout: float) -> None:
    """Wait until the containers of a task have ended.

    Raises
    ------
    AWSTimeoutError
        They have not, within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    pause = 0.2
    while True:
        found = described(aws, ecs_cluster, [arn])
        if not found or found[0].over:
            return
        if time.monotonic() > deadline:
            raise AWSTimeoutError(
                f"The task of {what} ({arn}) was told to end, and {timeout:g} s later it is "
                f"still {found[0].data.get('lastStatus')}: call stop() again, or look at it in "
                "the console of ECS (stop_timeout= sets how long to wait)."
            )
        time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
        pause = min(2 * pause, _LONGEST_PAUSE)
