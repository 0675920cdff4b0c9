"""Runs the server and the workers of a cluster as tasks of Amazon ECS on AWS Fargate.

Nothing has to be set up: what the account lacks is made at the first start, with least privileges
and no port open but to the user's own session, and is used again by later clusters.
"""

from __future__ import annotations

from dockerparallel_ecs_fargate_provider._version import __version__
from dockerparallel_ecs_fargate_provider.cost import Cost, Estimate, TaskBill
from dockerparallel_ecs_fargate_provider.errors import (
    AWSError,
    AWSPermissionError,
    AWSTimeoutError,
    AWSUnreachableError,
    CapacityError,
    CredentialsError,
    LaunchError,
    QuotaError,
    ResourceError,
    RoleError,
    TaskFailedError,
    ThrottledError,
)
from dockerparallel_ecs_fargate_provider.leftovers import ECSCluster, ECSTask
from dockerparallel_ecs_fargate_provider.prices import PriceTable
from dockerparallel_ecs_fargate_provider.provider import ECSFargateProvider

__all__ = [
    "AWSError",
    "AWSPermissionError",
    "AWSTimeoutError",
    "AWSUnreachableError",
    "CapacityError",
    "Cost",
    "CredentialsError",
    "ECSCluster",
    "ECSFargateProvider",
    "ECSTask",
    "Estimate",
    "LaunchError",
    "PriceTable",
    "QuotaError",
    "ResourceError",
    "RoleError",
    "TaskBill",
    "TaskFailedError",
    "ThrottledError",
    "__version__",
]
