"""Calls that AWS refuses only for now: asked again until it agrees, or the time is up.

AWS is eventually consistent: a thing that was just made may be unknown for some seconds, and one
that was just given up may still count as used.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider.errors import AWSError, AWSTimeoutError

T = TypeVar("T")

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 8.0
_NOT_FOUND = frozenset(
    {
        "ClusterNotFoundException",
        "Gateway.NotAttached",
        "NoSuchEntity",
        "NoSuchEntityException",
        "ResourceNotFoundException",
    }
)


def is_missing(error: AWSError) -> bool:
    """Tell whether AWS refused because something does not exist, or does not exist any more."""
    return error.code in _NOT_FOUND or error.code.endswith(".NotFound")


def settled(
    call: Callable[[], T],
    *,
    refused_for_now: Callable[[AWSError], bool],
    waits_for: str,
    timeout: float,
    logger: ClusterLogger | None = None,
) -> T:
    """Make a call again and again, with growing and random pauses, until AWS does not refuse it.

    Parameters
    ----------
    call
        May be made any number of times.
    refused_for_now
        Whether an error may pass by itself; any other goes to the caller at once.
    waits_for
        For messages: what has to happen first.
    timeout
        Seconds after which no further attempt is made.
    logger
        Is told once, as progress, what is waited for.

    Raises
    ------
    AWSTimeoutError
        It was refused until the time was up; the message has AWS's last words.
    AWSError
        It failed for another reason.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    told = False
    while True:
        try:
            return call()
        except AWSError as error:
            if not refused_for_now(error):
                raise
            left = deadline - time.monotonic()
            if left <= 0:
                raise AWSTimeoutError(
                    f"Waited {timeout:g} s for {waits_for}, in vain. The last answer was: {error}",
                    code=error.code,
                    text=error.text,
                ) from error
        if logger is not None and not told:
            logger.info("Waiting for %s (at most %g s).", waits_for, timeout)
            told = True
        time.sleep(min(left, pause * random.uniform(0.5, 1.0)))  # noqa: S311 - no secret
        pause = min(2 * pause, _LONGEST_PAUSE)
