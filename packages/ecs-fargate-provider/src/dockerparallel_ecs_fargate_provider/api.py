"""Calls of AWS: paced, tried again, and with errors that say what to do."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

import boto3
import botocore.exceptions
from botocore import xform_name
from botocore.config import Config

from dockerparallel_ecs_fargate_provider._version import __version__
from dockerparallel_ecs_fargate_provider.api_errors import explained, without_answer
from dockerparallel_ecs_fargate_provider.errors import AWSUnreachableError, CredentialsError
from dockerparallel_ecs_fargate_provider.rate_limits import RateLimits, throttled

CALLS_AT_A_TIME = 8
"""How many calls are made at the same time, at most."""

ATTEMPTS = 10
_LONGEST_PAUSE = 20.0
_GIVEN_UP_SECONDS = 60.0
# For a place in the queue of calls: a launch of 10,000 tasks at the published rate, and more.
_TURN_SECONDS = 1800.0


class Identity(NamedTuple):
    """Who calls AWS: account, ARN, and the unique id that IAM calls ``aws:userid``."""

    account: str
    arn: str
    user_id: str

    @property
    def partition(self) -> str:
        """``aws``, or ``aws-cn`` and the like."""
        return self.arn.split(":")[1]


class AWS:
    """The API of AWS in one region; thread-safe, and shared by all copies of a provider.

    Every call may block: for its turn under the published rates, for AWS's answer (at most a
    minute for each of 10 attempts), and between attempts. For a minute after a call that no
    attempt of was answered, calls have one attempt.

    Parameters
    ----------
    session
        Where credentials come from; by default boto3's usual places.
    region
        Such as ``"eu-central-1"``; by default the session's.
    endpoint_url
        Where all services answer, for private endpoints and tests; by default AWS.
    """

    def __init__(
        self,
        session: boto3.Session | None = None,
        region: str | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        # What was given, for copies in other processes; boto3's own is made when first used.
        self._session = session
        self._used: boto3.Session | None = session
        self._given_region = region
        self._endpoint_url = endpoint_url
        self._lock = threading.RLock()
        self._clients: dict[tuple[str, int], Any] = {}
        self._unanswered = -math.inf
        self._identity: Identity | None = None
        self._limits = RateLimits()

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Return itself: copies of a provider share clients and pace."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as the arguments; clients and pace are made anew there."""
        return type(self), (self._session, self._given_region, self._endpoint_url)

    @property
    def region(self) -> str:
        """The region in which everything runs.

        Raises
        ------
        CredentialsError
            None was given, and boto3 finds none.
        """
        region = self._given_region or self._boto().region_name
        if not region:
            raise CredentialsError(
                "No AWS region is known: pass region='us-east-1' (or where you want to compute) "
                "to ECSFargateProvider, or set AWS_DEFAULT_REGION."
            )
        return str(region)

    @property
    def identity(self) -> Identity:
        """Who we are; asked once."""
        if self._identity is None:
            answer = self.call("sts", "GetCallerIdentity")
            self._identity = Identity(answer["Account"], answer["Arn"], answer["UserId"])
        return self._identity

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of something in this account and region."""
        identity = self.identity
        return f"arn:{identity.partition}:{service}:{self.region}:{identity.account}:{resource}"

    def call(self, service: str, action: str, **parameters: Any) -> dict[str, Any]:
        """Call AWS and return its answer.

        Parameters
        ----------
        service
            As boto3 names it, such as ``"ecs"``.
        action
            As AWS names it, such as ``"RunTask"``.
        **parameters
            Of the action.

        Raises
        ------
        ThrottledError
            AWS went on asking to call less often.
        AWSPermissionError, CredentialsError, AWSUnreachableError, AWSError
            The call failed for good; ``code`` of the error is AWS's.
        """
        # An endpoint that did not answer for minutes is not waited for with each call again.
        given_up = time.monotonic() - self._unanswered < _GIVEN_UP_SECONDS
        client = self._client(service, 1 if given_up else ATTEMPTS)
        bucket = self._limits.for_action(action) if service == "ecs" else None
        attempt = 1
        while True:
            if bucket is not None:
                bucket.take(timeout=_TURN_SECONDS)
            try:
                answer: dict[str, Any] = getattr(client, xform_name(action))(**parameters)
                self._unanswered = -math.inf
                return answer
            except botocore.exceptions.ClientError as error:
                failure = explained(error, service, action)
                retried = error.response.get("ResponseMetadata", {}).get("MaxAttemptsReached")
                hidden = throttled(failure.code, str(error)) and not retried
                if not hidden or attempt == ATTEMPTS:
                    raise failure from error
            except botocore.exceptions.BotoCoreError as error:
                silence = without_answer(error, service, action)
                if isinstance(silence, AWSUnreachableError):
                    self._unanswered = time.monotonic()
                raise silence from error
            # Throttling under a code that botocore does not know, and has not tried again.
            if bucket is not None:
                bucket.drain()
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 2.0**attempt / 4)))  # noqa: S311
            attempt += 1

    def pages(
        self,
        service: str,
        action: str,
        key: str,
        *,
        token: str = "nextToken",  # noqa: S107 - where the next page is
        **parameters: Any,
    ) -> Iterator[Any]:
        """Yield the items under ``key`` of all pages of an answer.

        Parameters
        ----------
        token
            Under which name AWS gives the way to the next page, and takes it.
        """
        more: Mapping[str, Any] = {}
        while True:
            answer = self.call(service, action, **parameters, **more)
            yield from answer.get(key, ())
            if not answer.get(token):
                return
            more = {token: answer[token]}

    def wait_for_launches(self, tasks: int, *, spot: bool) -> None:
        """Wait until Fargate may be asked for so many tasks more, on Spot capacity or not."""
        self._limits.launches(spot=spot).take(tasks, timeout=_TURN_SECONDS)

    def _boto(self) -> boto3.Session:
        with self._lock:
            if self._used is None:
                self._used = boto3.Session()
            return self._used

    def _client(self, service: str, attempts: int) -> Any:
        # Making a client is not thread-safe; using one is.
        with self._lock:
            key = (service, attempts)
            if key not in self._clients:
                config = Config(
                    retries={"mode": "standard", "total_max_attempts": attempts},
                    connect_timeout=10,
                    read_timeout=60,
                    max_pool_connections=CALLS_AT_A_TIME + 2,
                    user_agent_extra=f"dockerparallel/{__version__}",
                )
                self._clients[key] = self._boto().client(
                    service,  # type: ignore[call-overload]
                    region_name=self.region,
                    endpoint_url=self._endpoint_url,
                    config=config,
                )
            return self._clients[key]
