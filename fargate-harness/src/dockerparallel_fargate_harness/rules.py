"""Which rules are checked for which call, before moto answers it."""

from __future__ import annotations

from collections.abc import Callable

from dockerparallel_fargate_harness import rules_cluster
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.wire import AwsRequest

Check = Callable[[State, AwsRequest], None]

RULES: dict[tuple[str, str], Check] = {
    ("ecs", "CreateCluster"): rules_cluster.check_create,
    ("ecs", "DeleteCluster"): rules_cluster.check_delete,
    ("ecs", "PutClusterCapacityProviders"): rules_cluster.check_providers,
}


def check(state: State, request: AwsRequest) -> None:
    """Check what AWS checks and moto does not.

    Raises
    ------
    AwsError
        The call breaks a rule.
    """
    rule = RULES.get((request.service, request.action))
    if rule is not None:
        rule(state, request)
