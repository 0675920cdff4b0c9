"""Starting tasks: ten a call, each call answered for once, and refusals told as errors."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dockerparallel_ecs_fargate_provider.api import AWS, CALLS_AT_A_TIME
from dockerparallel_ecs_fargate_provider.diagnosis import explain_refusal
from dockerparallel_ecs_fargate_provider.errors import AWSError, RoleError
from dockerparallel_ecs_fargate_provider.records import SPOT_PROVIDER
from dockerparallel_managed_provider import for_each

STARTED_AT_ONCE = 10
"""How many tasks one call starts (API reference of RunTask)."""

# A role that was made a moment ago may not be known everywhere yet.
_ROLE_SECONDS = 60.0
_PAUSE = 2.0
_CODES_OF_REFUSALS = frozenset(
    {
        "AccessDeniedException",
        "BlockedException",
        "ClientException",
        "InvalidParameterException",
        "LimitExceededException",
        "PlatformTaskDefinitionIncompatibilityException",
        "PlatformUnknownException",
        "ServerException",
    }
)


@dataclass(frozen=True)
class Launch:
    """Tasks that are alike.

    Parameters
    ----------
    number
        How many.
    definition
        ARN of their definition.
    overrides
        As RunTask takes them.
    tags
        Of each task.
    started_by
        By which they are listed.
    network
        As RunTask takes it.
    spot
        Whether they run on Spot capacity.
    """

    number: int
    definition: str
    overrides: Mapping[str, Any]
    tags: Sequence[Mapping[str, str]]
    started_by: str
    network: Mapping[str, Any]
    spot: bool

    def batches(self) -> list[int]:
        """Return how many tasks each call starts."""
        full, rest = divmod(self.number, STARTED_AT_ONCE)
        return [STARTED_AT_ONCE] * full + ([rest] if rest else [])


def run(
    aws: AWS,
    ecs_cluster: str,
    launches: Sequence[Launch],
    *,
    note: Callable[[list[dict[str, Any]]], object],
    tell: Callable[[int, int], None],
    patient_with_roles: bool,
) -> None:
    """Start tasks, several calls at a time.

    Parameters
    ----------
    note
        Called from this thread with all tasks that were started, also where others were not.
    tell
        Called now and then with the number of calls that are through, and of all.
    patient_with_roles
        Whether a role that cannot be assumed is tried again for a minute, being new.

    Raises
    ------
    QuotaError, CapacityError, RoleError, LaunchError
        Fargate does not start all of them; those that it started were noted.
    AWSError
        A call failed.
    """
    calls = [(launch, number) for launch in launches for number in launch.batches()]

    def start(call: tuple[Launch, int]) -> dict[str, Any]:
        return _start(aws, ecs_cluster, *call, patient_with_roles)

    outcomes = for_each(
        start,
        calls,
        at_a_time=CALLS_AT_A_TIME,
        tell=lambda done: tell(done, len(calls)),
        stop_at_error=True,
    )
    answers = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    note([task for answer in answers for task in answer.get("tasks", ())])
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    for (launch, _), answer in zip(calls, answers, strict=True):
        for failure in answer.get("failures", ()):
            reason, detail = str(failure.get("reason", "")), failure.get("detail")
            raise explain_refusal(reason, detail, spot=launch.spot)


def _start(
    aws: AWS, ecs_cluster: str, launch: Launch, number: int, patient: bool
) -> dict[str, Any]:
    aws.wait_for_launches(number, spot=launch.spot)
    where: dict[str, Any] = {"launchType": "FARGATE"}
    if launch.spot:
        where = {"capacityProviderStrategy": [{"capacityProvider": SPOT_PROVIDER, "weight": 1}]}
    asked = {
        "cluster": ecs_cluster,
        "taskDefinition": launch.definition,
        "count": number,
        "overrides": launch.overrides,
        "tags": launch.tags,
        "startedBy": launch.started_by,
        "networkConfiguration": launch.network,
        # Of a call whose answer was lost, and that is made again, it starts nothing anew.
        "clientToken": secrets.token_hex(32),
        **where,
    }
    deadline = time.monotonic() + _ROLE_SECONDS
    while True:
        try:
            return aws.call("ecs", "RunTask", **asked)
        except AWSError as error:
            refusal = _refusal(error, spot=launch.spot)
            waits = patient and isinstance(refusal, RoleError) and time.monotonic() < deadline
            if not waits:
                raise refusal from error
        time.sleep(random.uniform(0.5, 1.5) * _PAUSE)  # noqa: S311


def _refusal(error: AWSError, *, spot: bool) -> AWSError:
    """Return an error that says why a task is not started, where AWS's code leaves it open."""
    # One of another class says it already, such as throttling under a code that leaves it open.
    if error.code not in _CODES_OF_REFUSALS or type(error) is not AWSError:
        return error
    refusal = explain_refusal(error.text, spot=spot)
    refusal.code, refusal.text = error.code, error.text
    return refusal
