"""What RegisterTaskDefinition demands for Fargate beyond what moto checks.

Source: Amazon ECS API Reference, RegisterTaskDefinition, ContainerDefinition, RuntimePlatform and
LogConfiguration; Amazon ECS Developer Guide, "task definition differences for Fargate".
"""

from __future__ import annotations

import re
from typing import Any

from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.rules_tags import check_tags
from dockerparallel_fargate_harness.sizes import size_of
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.wire import AwsRequest

ARCHITECTURES = ("X86_64", "ARM64")
LOG_DRIVERS = ("awslogs", "splunk", "awsfirelens")
LONGEST_STOP = 120
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_AWSLOGS_OPTIONS = ("awslogs-group", "awslogs-region", "awslogs-stream-prefix")


def check_register(_state: State, request: AwsRequest) -> None:
    """Check a new task definition; one that is not for Fargate only for its names and tags."""
    if not _NAME.fullmatch(request.text("family")):
        raise client_error(
            "Family contains invalid characters. Only alphanumeric, hyphen, and underscore are "
            "allowed, up to 255 characters."
        )
    check_tags(request.items("tags"))
    containers = request.items("containerDefinitions")
    if not containers:
        raise client_error("Container list cannot be empty.")
    if "FARGATE" not in request.items("requiresCompatibilities"):
        return
    _check_task(request)
    for container in containers:
        _check_container(request, container)


def client_error(message: str) -> AwsError:
    """Return the error of a task definition that breaks a rule."""
    return AwsError("ClientException", message)


def _check_task(request: AwsRequest) -> None:
    cpu, memory = request.parameters.get("cpu"), request.parameters.get("memory")
    for name, value in (("cpu", cpu), ("memory", memory)):
        if value is None:
            raise client_error(f"Fargate requires that '{name}' be defined at the task level.")
    if request.text("networkMode") != "awsvpc":
        raise client_error("Fargate only supports network mode 'awsvpc'.")
    if size_of(cpu, memory) is None:
        raise client_error(
            "No Fargate configuration exists for given values: "
            f"{cpu} CPU, {memory} memory. See the Amazon ECS documentation for the valid values."
        )
    platform = request.parameters.get("runtimePlatform") or {}
    if platform.get("cpuArchitecture", "X86_64") not in ARCHITECTURES:
        raise client_error(f"cpuArchitecture should be one of [{','.join(ARCHITECTURES)}]")


def _check_container(request: AwsRequest, container: dict[str, Any]) -> None:
    name = str(container.get("name") or "")
    if not _NAME.fullmatch(name):
        raise client_error("Container.name contains invalid characters.")
    if not container.get("image"):
        raise client_error("Container.image should not be null or empty.")
    if container.get("privileged"):
        raise client_error("Fargate does not support privileged containers.")
    if int(container.get("stopTimeout") or 0) > LONGEST_STOP:
        raise client_error(f"Invalid stopTimeout. The maximum on Fargate is {LONGEST_STOP} s.")
    for mapping in container.get("portMappings") or []:
        if mapping.get("hostPort", mapping["containerPort"]) != mapping["containerPort"]:
            raise client_error(
                "When networkMode=awsvpc, the host ports and container ports in port mappings "
                "must match."
            )
    size = size_of(request.text("cpu"), request.text("memory"))
    if size and int(container.get("memory") or 0) > size.memory:
        raise client_error(f"Invalid setting for container '{name}'. It has more than the task.")
    role = request.text("executionRoleArn")
    if container.get("secrets") and not role:
        raise client_error(
            "When you are specifying container secrets, you must also specify a value for "
            "'executionRoleArn'."
        )
    _check_log(container.get("logConfiguration") or {}, role)


def _check_log(configuration: dict[str, Any], role: str) -> None:
    driver = configuration.get("logDriver")
    if driver is None:
        return
    if driver not in LOG_DRIVERS:
        raise client_error(f"Fargate does not support log driver {driver}.")
    if driver != "awslogs":
        return
    if not role:
        raise client_error(
            "Fargate requires task definition to have execution role ARN to support log driver "
            "awslogs."
        )
    missing = [key for key in _AWSLOGS_OPTIONS if key not in (configuration.get("options") or {})]
    if missing:
        raise client_error(f"Log driver awslogs requires options: {', '.join(missing)}")
