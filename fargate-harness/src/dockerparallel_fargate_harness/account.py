"""What exists in the account beyond what a fresh one has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moto.ec2.models import ec2_backends
from moto.ecs.models import ecs_backends
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends

from dockerparallel_fargate_harness.moto_state import PARTITION
from dockerparallel_fargate_harness.runtime import Runtime
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.wire import ACCOUNT

Inventory = dict[str, list[str]]


def inventory(state: State, runtime: Runtime, regions: Iterable[str]) -> Inventory:
    """Return the ids of everything in the account, by kind; inactive things do not count."""
    found: Inventory = {}
    with state.lock:
        for region in regions:
            for kind, identifiers in _of_region(region).items():
                found.setdefault(kind, []).extend(identifiers)
        found["roles"] = [role.name for role in iam_backends[ACCOUNT][PARTITION].roles.values()]
        found["policies"] = [
            arn
            for arn in iam_backends[ACCOUNT][PARTITION].managed_policies
            if not arn.startswith("arn:aws:iam::aws:")
        ]
        found["tasks"] = [task.arn for task in state.tasks.values() if task.active]
    found["containers"] = runtime.left()
    return found


def beyond(now: Inventory, fresh: Inventory) -> Inventory:
    """Return what there is now and was not in the fresh account; kinds without any are left out."""
    more = {
        kind: sorted(set(identifiers) - set(fresh.get(kind, [])))
        for kind, identifiers in now.items()
    }
    return {kind: identifiers for kind, identifiers in more.items() if identifiers}


def _of_region(region: str) -> Inventory:
    ec2: Any = ec2_backends[ACCOUNT][region]
    ecs: Any = ecs_backends[ACCOUNT][region]
    definitions = [one for family in ecs.task_definitions.values() for one in family.values()]
    groups = [group for vpc in ec2.groups.values() for group in vpc.values()]
    return {
        "vpcs": list(ec2.vpcs),
        "subnets": [subnet for zone in ec2.subnets.values() for subnet in zone],
        "internet_gateways": list(ec2.internet_gateways),
        "route_tables": [
            key for key, table in ec2.route_tables.items() if not table.main_association_id
        ],
        "security_groups": [group.id for group in groups if group.name != "default"],
        "network_interfaces": list(ec2.enis),
        "vpc_endpoints": list(ec2.vpc_end_points),
        "nat_gateways": [
            key for key, one in ec2.nat_gateways.items() if one.state not in {"deleted", "deleting"}
        ],
        "log_groups": list(logs_backends[ACCOUNT][region].groups),
        "secrets": [
            secret.arn
            for secret in secretsmanager_backends[ACCOUNT][region].secrets.values()
            if not secret.is_deleted()
        ],
        "parameters": [
            name
            for name in ssm_backends[ACCOUNT][region]._parameters  # noqa: SLF001
            if not name.startswith("/aws/")
        ],
        "clusters": [one.arn for one in ecs.clusters.values() if one.status == "ACTIVE"],
        "task_definitions": [one.arn for one in definitions if one.status == "ACTIVE"],
    }
