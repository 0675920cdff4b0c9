"""The way of a call through the harness: faults, permissions, rules, and then who answers it."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from dockerparallel_fargate_harness import (
    moto_network,
    permissions,
    rules,
    rules_cluster,
    task_api,
    task_logs,
)
from dockerparallel_fargate_harness.addresses import PublicAddresses
from dockerparallel_fargate_harness.calls import Call
from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.lifecycle import Lifecycle
from dockerparallel_fargate_harness.moto_app import MotoApp
from dockerparallel_fargate_harness.run_task import run_task
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.wire import (
    FIRST_ERROR,
    Answer,
    AwsRequest,
    error_answer,
    error_code,
    json_answer,
)

Handler = Callable[[AwsRequest], dict[str, Any] | None]
GROUP_CHANGES = frozenset(
    {
        "AuthorizeSecurityGroupIngress",
        "RevokeSecurityGroupIngress",
        "ModifySecurityGroupRules",
    }
)


class Gateway:
    """Answers calls of AWS's API.

    Parameters
    ----------
    state : State
        The shared state.
    lifecycle : Lifecycle
        Where tasks begin and stop.
    addresses : PublicAddresses
        Follows the security groups.
    moto : MotoApp
        Answers what the harness does not answer itself.
    """

    def __init__(
        self, state: State, lifecycle: Lifecycle, addresses: PublicAddresses, moto: MotoApp
    ) -> None:
        self._state = state
        self._lifecycle = lifecycle
        self._addresses = addresses
        self._moto = moto
        # Each returns the answer, or None for moto to give it.
        self._handlers: dict[tuple[str, str], Handler] = {
            ("ecs", "RunTask"): lambda request: run_task(state, lifecycle, request),
            ("ecs", "StopTask"): lambda request: task_api.stop_task(state, lifecycle, request),
            ("ecs", "DescribeTasks"): lambda request: task_api.describe_tasks(state, request),
            ("ecs", "ListTasks"): lambda request: task_api.list_tasks(state, request),
            ("ecs", "TagResource"): lambda request: task_api.tags_of(state, request),
            ("ecs", "UntagResource"): lambda request: task_api.tags_of(state, request),
            ("ecs", "ListTagsForResource"): lambda request: task_api.tags_of(state, request),
            ("ecs", "CreateCluster"): rules_cluster.existing,
        }

    def answer(self, request: AwsRequest, environ: dict[str, Any], body: bytes) -> Answer:
        """Answer a call, and record it."""
        arrived = time.time()
        fault = self._state.faults.hit(request.service, request.action)
        if fault is None:
            answer = self._guarded(request, environ, body)
        else:
            if fault.after_effect:
                self._guarded(request, environ, body)
            error = AwsError(fault.code, fault.message, fault.status)
            answer = error_answer(request.service, error)
        self._state.calls.add(
            Call(
                request.service,
                request.action,
                request.parameters,
                answer.status,
                error_code(answer),
                arrived,
            )
        )
        return answer

    def _guarded(self, request: AwsRequest, environ: dict[str, Any], body: bytes) -> Answer:
        try:
            return self._perform(request, environ, body)
        except AwsError as error:
            return error_answer(request.service, error)
        except Exception as error:  # noqa: BLE001 -- a server answers whatever happens inside
            traceback.print_exc(file=sys.stderr)
            what = f"the harness or moto failed: {error!r}"
            return error_answer(request.service, AwsError("InternalFailure", what, 500))

    def _perform(self, request: AwsRequest, environ: dict[str, Any], body: bytes) -> Answer:
        task_logs.pull_for(self._state, self._lifecycle.runtime, request)
        with self._state.lock:
            permissions.check(self._state, request)
            rules.check(self._state, request)
            if (request.service, request.action) == ("ecs", "DescribeClusters"):
                task_api.count_tasks(self._state, request.region)
            handler = self._handlers.get((request.service, request.action))
            own = handler(request) if handler else None
            if own is not None:
                return json_answer(own)
            answer = self._moto.answer(environ, body)
            if answer.status < FIRST_ERROR:
                self._follow(request)
            return answer

    def _follow(self, request: AwsRequest) -> None:
        """Do what a call that moto has carried out brings with it."""
        if request.action in GROUP_CHANGES:
            self._addresses.refresh()
        if (request.service, request.action) == ("ec2", "DeleteSubnet"):
            moto_network.forget_subnet(request.region, request.text("SubnetId"))
