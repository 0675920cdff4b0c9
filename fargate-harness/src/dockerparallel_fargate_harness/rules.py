"""Which rules are checked for which call, before moto answers it."""

from __future__ import annotations

from collections.abc import Callable

from dockerparallel_fargate_harness import (
    rules_cluster,
    rules_definition,
    rules_ec2,
    rules_parameters,
)
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.wire import AwsRequest

Check = Callable[[State, AwsRequest], None]

RULES: dict[tuple[str, str], Check] = {
    ("ecs", "CreateCluster"): rules_cluster.check_create,
    ("ecs", "DeleteCluster"): rules_cluster.check_delete,
    ("ecs", "PutClusterCapacityProviders"): rules_cluster.check_providers,
    ("ecs", "RegisterTaskDefinition"): rules_definition.check_register,
    ("ec2", "DeleteSecurityGroup"): rules_ec2.check_delete_group,
    ("ec2", "DeleteSubnet"): rules_ec2.check_delete_subnet,
    ("ec2", "DeleteVpc"): rules_ec2.check_delete_vpc,
    ("ec2", "DetachInternetGateway"): rules_ec2.check_detach_gateway,
    ("ssm", "PutParameter"): rules_parameters.check_put_parameter,
    ("ssm", "GetParameters"): rules_parameters.check_names,
    ("ssm", "DeleteParameters"): rules_parameters.check_names,
    ("secretsmanager", "CreateSecret"): rules_parameters.check_secret,
    ("secretsmanager", "PutSecretValue"): rules_parameters.check_secret,
    ("secretsmanager", "UpdateSecret"): rules_parameters.check_secret,
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
