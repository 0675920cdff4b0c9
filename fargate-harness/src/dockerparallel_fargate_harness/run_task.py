"""RunTask: idempotent by its token, within capacity and quota, and in the background."""

from __future__ import annotations

import copy
from typing import Any
from uuid import uuid4

from dockerparallel_fargate_harness import moto_network
from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.faults import Refusal
from dockerparallel_fargate_harness.lifecycle import Lifecycle
from dockerparallel_fargate_harness.rules_run_task import Launch, launch_of, role_of
from dockerparallel_fargate_harness.state import Launched, State
from dockerparallel_fargate_harness.tasks import Network, Task, TaskContainer
from dockerparallel_fargate_harness.wire import ACCOUNT, AwsRequest

QUOTA_REASON = "You've reached the limit on the number of vCPUs you can run concurrently"


def run_task(state: State, lifecycle: Lifecycle, request: AwsRequest) -> dict[str, Any]:
    """Answer RunTask. Called under the harness's lock."""
    token = request.text("clientToken")
    key = (request.region, request.text("cluster", "default").split("/")[-1], token)
    if token and (earlier := state.tokens.get(key)):
        if earlier.parameters != request.parameters:
            raise AwsError(
                "ConflictException",
                "The RunTask request could not be processed due to conflicts. The provided "
                "clientToken is already in use with a different RunTask request.",
            )
        return _answer(state, earlier.tasks, earlier.failures)
    launch = launch_of(request)
    failures = [{"reason": reason} for reason in _refused(state, launch)]
    started = [
        _start(state, lifecycle, request, launch, number)
        for number in range(launch.count - len(failures))
    ]
    if token and started:
        parameters = copy.deepcopy(request.parameters)
        state.tokens[key] = Launched(parameters, started, failures)
    return _answer(state, started, failures)


def _answer(state: State, arns: list[str], failures: list[dict[str, str]]) -> dict[str, Any]:
    known = [state.tasks[arn] for arn in arns if arn in state.tasks]
    return {"tasks": [task.as_api(with_tags=True) for task in known], "failures": failures}


def _refused(state: State, launch: Launch) -> list[str]:
    """Return the reasons for the tasks that do not start."""
    refusal: Refusal | None = state.faults.refusal()
    if refusal is not None:
        return [refusal.reason] * max(0, launch.count - refusal.started)
    quota = state.settings.vcpu_quota
    if quota is None:
        return []
    used = sum(task.size.vcpus for task in state.tasks.values() if task.active)
    fitting = max(0, int((quota - used) // launch.size.vcpus))
    return [QUOTA_REASON] * max(0, launch.count - fitting)


def _start(
    state: State, lifecycle: Lifecycle, request: AwsRequest, launch: Launch, number: int
) -> str:
    identifier = uuid4().hex
    arn = f"arn:aws:ecs:{request.region}:{ACCOUNT}:task/{launch.cluster.name}/{identifier}"
    overrides = request.parameters.get("overrides") or {}
    provider = provider_of(launch.strategy, number)
    definition = launch.definition
    platform = definition.runtime_platform or {}
    network = Network(
        subnet=launch.subnets[number % len(launch.subnets)],
        groups=list(launch.groups),
        public=launch.public,
    )
    task = Task(
        id=identifier,
        arn=arn,
        region=request.region,
        cluster=launch.cluster.name,
        cluster_arn=launch.cluster.arn,
        definition_arn=definition.arn,
        group=request.text("group") or f"family:{definition.family}",
        size=launch.size,
        network=network,
        containers=_containers(launch, overrides, request.region, identifier),
        launch_type="FARGATE",
        capacity_provider=provider,
        architecture="arm64" if platform.get("cpuArchitecture") == "ARM64" else "x86_64",
        started_by=request.text("startedBy"),
        tags=_tags(launch, request),
        overrides=copy.deepcopy(overrides),
        execution_role=role_of(definition, overrides, "executionRoleArn"),
        task_role=role_of(definition, overrides, "taskRoleArn"),
        zone=moto_network.subnet(request.region, network.subnet).availability_zone,
    )
    moto_network.create_interface(request.region, network)
    state.tasks[arn] = task
    lifecycle.begin(task)
    return arn


def provider_of(strategy: list[dict[str, Any]], number: int) -> str | None:
    """Return the capacity provider of the task with a number, None without a strategy.

    The base comes first, then the weights share out the rest in turn.
    """
    if not strategy:
        return None
    bases = [name for item in strategy for name in _times(item, "base")]
    if number < len(bases):
        return bases[number]
    turns = [name for item in strategy for name in _times(item, "weight")]
    turns = turns or [str(strategy[0]["capacityProvider"])]
    return turns[(number - len(bases)) % len(turns)]


def _times(item: dict[str, Any], key: str) -> list[str]:
    return [str(item["capacityProvider"])] * int(item.get(key) or 0)


def _tags(launch: Launch, request: AwsRequest) -> list[dict[str, str]]:
    tags = {str(tag["key"]): str(tag.get("value") or "") for tag in request.items("tags")}
    if request.text("propagateTags") == "TASK_DEFINITION":
        inherited = {tag["key"]: tag.get("value", "") for tag in launch.definition.tags}
        tags = inherited | tags
    return [{"key": key, "value": value} for key, value in tags.items()]


def _containers(
    launch: Launch, overrides: dict[str, Any], region: str, task: str
) -> list[TaskContainer]:
    by_name = {one["name"]: one for one in overrides.get("containerOverrides") or []}
    prefix = f"arn:aws:ecs:{region}:{ACCOUNT}:container/{launch.cluster.name}/{task}"
    return [
        TaskContainer(
            merged(definition, by_name.get(definition["name"], {})), f"{prefix}/{uuid4()}"
        )
        for definition in launch.definition.container_definitions
    ]


def merged(definition: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Return a container's definition with an override: its environment adds, the rest replaces."""
    result = copy.deepcopy(definition)
    for key, value in override.items():
        if key == "environment":
            both = {item["name"]: item for item in [*(result.get(key) or []), *value]}
            result[key] = list(both.values())
        else:
            result[key] = value
    return result
