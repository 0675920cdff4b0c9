"""The rules of ECS for clusters.

Source: Amazon ECS API Reference, CreateCluster and DeleteCluster.
"""

from __future__ import annotations

import re
from typing import Any

from dockerparallel_fargate_harness import moto_state
from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.rules_tags import check_tags, invalid
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.wire import AwsRequest

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_PROVIDERS = frozenset({"FARGATE", "FARGATE_SPOT"})


def check_create(state: State, request: AwsRequest) -> None:
    """Check the name, the tags and the capacity providers of a new cluster."""
    if not _NAME.fullmatch(request.text("clusterName", "default")):
        raise invalid("Invalid cluster name.")
    check_tags(request.items("tags"))
    check_providers(state, request)


def check_providers(_state: State, request: AwsRequest) -> None:
    """Check that capacity providers are those of Fargate, and a strategy uses only them."""
    providers = request.items("capacityProviders")
    if unknown := set(providers) - _PROVIDERS:
        raise invalid(f"The specified capacity provider does not exist: {min(unknown)}.")
    for item in request.items("defaultCapacityProviderStrategy"):
        if item.get("capacityProvider") not in providers:
            raise invalid(
                "The specified capacity provider strategy cannot contain a capacity provider that "
                "is not associated with the cluster."
            )


def existing(request: AwsRequest) -> dict[str, Any] | None:
    """Return the answer of CreateCluster for a cluster that exists, which AWS leaves unchanged."""
    found = moto_state.cluster(request.region, request.text("clusterName", "default"))
    if found is None:
        return None
    return {
        "cluster": {
            "clusterArn": found.arn,
            "clusterName": found.name,
            "status": found.status,
            "registeredContainerInstancesCount": 0,
            "runningTasksCount": found.running_tasks_count,
            "pendingTasksCount": found.pending_tasks_count,
            "activeServicesCount": found.active_services_count,
            "settings": found.settings,
            "tags": found.tags or [],
            "capacityProviders": found.capacity_providers or [],
            "defaultCapacityProviderStrategy": found.default_capacity_provider_strategy or [],
        }
    }


def check_delete(state: State, request: AwsRequest) -> None:
    """Refuse to delete a cluster with tasks."""
    name = request.text("cluster").rpartition("/")[2]
    if any(task.active for task in state.tasks_of(request.region, name)):
        raise AwsError(
            "ClusterContainsTasksException",
            "The Cluster cannot be deleted while Tasks are active.",
        )
