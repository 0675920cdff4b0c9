"""What Fargate gets ready before a task's containers start: network, secrets and log streams.

Each check that fails ends the task as TaskFailedToStart with Fargate's words.
"""

from __future__ import annotations

import json

from dockerparallel_fargate_harness import moto_network, moto_state, roles
from dockerparallel_fargate_harness.tasks import Task, TaskContainer
from dockerparallel_fargate_harness.wire import ACCOUNT

ECR_ENDPOINTS = frozenset({"ecr.api", "ecr.dkr"})


class StartFailureError(Exception):
    """The task cannot start; the message is its ``stoppedReason``."""


def prepare(task: Task) -> None:
    """Check the network, resolve the secrets into the environments, and make the log streams.

    Called under the harness's lock.

    Raises
    ------
    StartFailureError
        Something is missing or not allowed.
    """
    check_route(task)
    for container in task.containers:
        environment = environment_of(container)
        for secret in container.definition.get("secrets") or []:
            environment[secret["name"]] = secret_value(task, str(secret["valueFrom"]))
        container.environment = environment
        prepare_log(task, container)


def environment_of(container: TaskContainer) -> dict[str, str]:
    """Return the environment of a container's definition."""
    items = container.definition.get("environment") or []
    return {str(item["name"]): str(item.get("value") or "") for item in items}


def check_route(task: Task) -> None:
    """Check that the task reaches the registry of its image.

    It does through an internet gateway with a public address, through a NAT gateway, or through
    endpoints of its VPC.
    """
    network = task.network
    subnet = moto_network.subnet(task.region, network.subnet)
    if subnet is None:
        raise StartFailureError(f"The subnet ID '{network.subnet}' does not exist")
    for gateway in moto_network.routes_to(task.region, network.subnet):
        if gateway.startswith("nat-") or (gateway.startswith("igw-") and network.public):
            return
    if moto_network.endpoints_of(task.region, subnet.vpc_id) >= ECR_ENDPOINTS:
        return
    raise StartFailureError(
        "ResourceInitializationError: unable to pull secrets or registry auth: The task cannot "
        "pull registry auth from Amazon ECR: There is a connection issue between the task and "
        "Amazon ECR. Check your task network configuration. RequestError: send request failed "
        f'caused by: Post "https://api.ecr.{task.region}.amazonaws.com/": dial tcp: i/o timeout'
    )


def secret_value(task: Task, reference: str) -> str:
    """Return what a ``valueFrom`` refers to: an SSM parameter or a secret."""
    if ":secretsmanager:" in reference:
        return _secret(task, reference)
    name = reference.partition(":parameter/")[2] or reference.removeprefix("/")
    arn = f"arn:aws:ssm:{task.region}:{ACCOUNT}:parameter/{name}"
    _check_allowed(task, "ssm:GetParameters", arn, "ssm")
    found = moto_state.parameter(task.region, reference)
    if found is None:
        raise StartFailureError(_unable("ssm", f"invalid ssm parameters: {reference}"))
    return found


def prepare_log(task: Task, container: TaskContainer) -> None:
    """Make the log stream of a container, as the awslogs driver does."""
    where = log_of(task, container)
    if where is None:
        return
    group, stream = where
    options = container.definition["logConfiguration"]["options"]
    group_arn = f"arn:aws:logs:{task.region}:{ACCOUNT}:log-group:{group}"
    if options.get("awslogs-create-group") == "true":
        _check_log(task, "logs:CreateLogGroup", f"{group_arn}:log-stream:")
        moto_state.create_log_group(task.region, group)
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        _check_log(task, action, f"{group_arn}:log-stream:{stream}")
    if not moto_state.has_log_group(task.region, group):
        raise StartFailureError(
            _log_failure(
                "ResourceNotFoundException: The specified log group does not exist.",
            )
        )
    moto_state.create_log_stream(task.region, group, stream)


def log_of(task: Task, container: TaskContainer) -> tuple[str, str] | None:
    """Return the log group and stream of a container, None where it has no awslogs."""
    configuration = container.definition.get("logConfiguration") or {}
    if configuration.get("logDriver") != "awslogs":
        return None
    options = configuration["options"]
    stream = f"{options['awslogs-stream-prefix']}/{container.name}/{task.id}"
    return str(options["awslogs-group"]), stream


def _secret(task: Task, reference: str) -> str:
    parts = reference.split(":")
    arn, key, stage, version = ":".join(parts[:7]), *(parts[7:] + [""] * 3)[:3]
    found = moto_state.secret(task.region, arn, stage, version)
    full_arn = found[0] if found else arn
    _check_allowed(task, "secretsmanager:GetSecretValue", full_arn, "asm")
    if found is None:
        raise StartFailureError(
            _unable(
                "asm",
                f"service call has been retried 1 time(s): failed to fetch secret {arn} from "
                "secrets manager: ResourceNotFoundException: Secrets Manager can't find the "
                "specified secret.",
            )
        )
    if not key:
        return found[1]
    try:
        return str(json.loads(found[1])[key])
    except (ValueError, KeyError, TypeError) as error:
        raise StartFailureError(
            _unable("asm", f"retrieved secret from Secrets Manager did not contain json key {key}")
        ) from error


def _check_allowed(task: Task, action: str, arn: str, kind: str) -> None:
    if not roles.allows(task.execution_role, action, arn):
        who = roles.session_of(task.execution_role, task.id)
        raise StartFailureError(
            _unable(
                kind,
                "service call has been retried 1 time(s): AccessDeniedException: User: "
                f"{who} is not authorized to perform: {action} on resource: {arn} because no "
                f"identity-based policy allows the {action} action",
            )
        )


def _unable(kind: str, why: str) -> str:
    return (
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
        f"retrieval failed: unable to retrieve secret from {kind}: {why}"
    )


def _check_log(task: Task, action: str, arn: str) -> None:
    if not roles.allows(task.execution_role, action, arn):
        who = roles.session_of(task.execution_role, task.id)
        raise StartFailureError(
            _log_failure(
                f"AccessDeniedException: User: {who} is not authorized to perform: {action} on "
                f"resource: {arn} because no identity-based policy allows the {action} action",
            )
        )


def _log_failure(why: str) -> str:
    return (
        "ResourceInitializationError: failed to validate logger args: create stream has been "
        f"retried 1 times: failed to create Cloudwatch log stream: {why}"
    )
