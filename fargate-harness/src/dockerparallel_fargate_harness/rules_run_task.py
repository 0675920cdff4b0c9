"""What RunTask demands on Fargate beyond what moto checks.

Source: Amazon ECS API Reference, RunTask, TaskOverride, AwsVpcConfiguration and
CapacityProviderStrategyItem.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from moto.ecs.models import Cluster, TaskDefinition

from dockerparallel_fargate_harness import moto_network, moto_state, rules_tags
from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.roles import check_assumable
from dockerparallel_fargate_harness.rules_tags import invalid
from dockerparallel_fargate_harness.sizes import Size, size_of
from dockerparallel_fargate_harness.wire import AwsRequest

MOST_TASKS = 10
MOST_SUBNETS = 16
MOST_GROUPS = 5
OVERRIDES_LENGTH = 8192
FARGATE_PROVIDERS = ("FARGATE", "FARGATE_SPOT")


@dataclass(frozen=True)
class Launch:
    """A RunTask that keeps all rules.

    Parameters
    ----------
    cluster : moto.ecs.models.Cluster
        The cluster.
    definition : moto.ecs.models.TaskDefinition
        The task definition.
    count : int
        How many tasks.
    size : Size
        The size of each.
    strategy : list of dict
        The capacity provider strategy, empty for a launch type.
    subnets, groups : list of str
        The ids of the subnets and security groups.
    public : bool
        Whether the tasks get public addresses.
    """

    cluster: Cluster
    definition: TaskDefinition
    count: int
    size: Size
    strategy: list[dict[str, Any]]
    subnets: list[str]
    groups: list[str]
    public: bool


def launch_of(request: AwsRequest) -> Launch:
    """Check a RunTask, and return what it asks for.

    Raises
    ------
    AwsError
        It breaks a rule.
    """
    rules_tags.check_token(request.parameters.get("clientToken"))
    rules_tags.check_started_by(request.text("startedBy"))
    rules_tags.check_tags(request.items("tags"))
    count = _count(request)
    cluster = moto_state.cluster(request.region, request.text("cluster", "default"))
    if cluster is None:
        raise AwsError("ClusterNotFoundException", "Cluster not found.")
    definition = moto_state.task_definition(request.region, request.text("taskDefinition"))
    if definition.status != "ACTIVE":
        raise AwsError("ClientException", "TaskDefinition is inactive")
    strategy = _strategy(request, cluster)
    if "FARGATE" not in (definition.requires_compatibilities or []):
        raise invalid("Task definition does not support launch_type FARGATE.")
    overrides = request.parameters.get("overrides") or {}
    size = _size(definition, overrides)
    _check_overrides(definition, overrides)
    subnets, groups, public = _network(request)
    for key in ("executionRoleArn", "taskRoleArn"):
        check_assumable(role_of(definition, overrides, key), request.region)
    return Launch(cluster, definition, count, size, strategy, subnets, groups, public)


def role_of(definition: TaskDefinition, overrides: dict[str, Any], key: str) -> str:
    """Return the ARN of a role of a task, or an empty text."""
    attribute = "execution_role_arn" if key == "executionRoleArn" else "task_role_arn"
    return str(overrides.get(key) or getattr(definition, attribute, "") or "")


def _count(request: AwsRequest) -> int:
    count = int(request.parameters.get("count") or 1)
    if not 1 <= count <= MOST_TASKS or request.parameters.get("count") == 0:
        raise invalid(f"Number of instances should be between 1 and {MOST_TASKS}.")
    return count


def _strategy(request: AwsRequest, cluster: Cluster) -> list[dict[str, Any]]:
    launch_type = request.text("launchType")
    strategy = request.items("capacityProviderStrategy")
    if launch_type and strategy:
        raise invalid("Specify either Launch Type or Capacity Provider Strategy, but not both.")
    strategy = strategy or ([] if launch_type else cluster.default_capacity_provider_strategy or [])
    if not strategy and launch_type != "FARGATE":
        # Without either, the launch type is EC2, for which the harness has no instances.
        raise invalid("No Container Instances were found in your cluster.")
    for item in strategy:
        provider = str(item.get("capacityProvider"))
        if provider not in FARGATE_PROVIDERS or provider not in (cluster.capacity_providers or []):
            raise invalid(
                "The specified capacity provider strategy cannot contain a capacity provider that "
                f"is not associated with the cluster: {provider}. Associate the capacity provider "
                "with the cluster and try again."
            )
    if (
        strategy
        and not any(int(item.get("weight") or 0) for item in strategy)
        and len(strategy) > 1
    ):
        raise invalid("At least one capacity provider must have a weight greater than zero.")
    if sum(1 for item in strategy if item.get("base")) > 1:
        raise invalid("Only one capacity provider in a strategy can have a base defined.")
    return strategy


def _size(definition: TaskDefinition, overrides: dict[str, Any]) -> Size:
    cpu = overrides.get("cpu") or definition.cpu
    memory = overrides.get("memory") or definition.memory
    size = size_of(cpu, memory)
    if size is None:
        raise invalid(
            f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. "
            "See the Amazon ECS documentation for the valid values."
        )
    return size


def _check_overrides(definition: TaskDefinition, overrides: dict[str, Any]) -> None:
    if len(json.dumps(overrides, separators=(",", ":"))) > OVERRIDES_LENGTH:
        raise invalid(f"Container Overrides length must be at most {OVERRIDES_LENGTH}")
    names = {container["name"] for container in definition.container_definitions}
    for override in overrides.get("containerOverrides") or []:
        if override.get("name") not in names:
            raise invalid(
                f"Override for container named {override.get('name')} is not a container in the "
                "TaskDefinition."
            )


def _network(request: AwsRequest) -> tuple[list[str], list[str], bool]:
    configuration = (request.parameters.get("networkConfiguration") or {}).get(
        "awsvpcConfiguration"
    )
    if not configuration:
        raise invalid(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    subnets = list(configuration.get("subnets") or [])
    groups = list(configuration.get("securityGroups") or [])
    if not 1 <= len(subnets) <= MOST_SUBNETS:
        raise invalid(f"subnets can have a minimum size of 1 and a maximum size of {MOST_SUBNETS}.")
    if len(groups) > MOST_GROUPS:
        raise invalid(f"securityGroups can have a maximum size of {MOST_GROUPS}.")
    public = configuration.get("assignPublicIp") or "DISABLED"
    if public not in {"ENABLED", "DISABLED"}:
        raise invalid("assignPublicIp should be one of ENABLED,DISABLED.")
    vpcs = {_vpc_of_subnet(request.region, item) for item in subnets}
    groups = groups or [moto_network.default_group(request.region, min(vpcs))]
    vpcs |= {_vpc_of_group(request.region, item) for item in groups}
    if len(vpcs) > 1:
        raise invalid("The subnets and security groups must all be of the same VPC.")
    return subnets, groups, public == "ENABLED"


def _vpc_of_subnet(region: str, identifier: str) -> str:
    found = moto_network.subnet(region, identifier)
    if found is None:
        raise invalid(
            f"Error retrieving subnet information for [{identifier}]: The subnet ID "
            f"'{identifier}' does not exist (ErrorCode: InvalidSubnetID.NotFound)"
        )
    return str(found.vpc_id)


def _vpc_of_group(region: str, identifier: str) -> str:
    found = moto_network.security_group(region, identifier)
    if found is None:
        raise invalid(
            f"Error retrieving security group information for [{identifier}]: The security group "
            f"'{identifier}' does not exist (ErrorCode: InvalidGroup.NotFound)"
        )
    return str(found.vpc_id)
