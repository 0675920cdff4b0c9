"""What EC2 does not delete while something depends on it, where moto does.

Source: Amazon EC2 API Reference, the Delete actions that the functions name, and "Error codes".
"""

from __future__ import annotations

from dockerparallel_fargate_harness import moto_network
from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.wire import AwsRequest


def dependency(kind: str, identifier: str) -> AwsError:
    """Return the error for something that is still in use."""
    what = f"The {kind} '{identifier}' has dependencies and cannot be deleted."
    return AwsError("DependencyViolation", what)


def check_delete_group(_state: State, request: AwsRequest) -> None:
    """DeleteSecurityGroup: not with a network interface in it, nor named by another group."""
    identifier = request.text("GroupId")
    group = moto_network.security_group(request.region, identifier)
    if group is None:
        return
    if group.name == "default":
        raise AwsError(
            "CannotDelete",
            'the specified group: "' + identifier + '" name: "default" cannot be deleted by a user',
        )
    used = any(identifier in groups for _, groups in moto_network.interfaces(request.region))
    if used or moto_network.groups_that_name(request.region, identifier):
        raise AwsError("DependencyViolation", f"resource {identifier} has a dependent object")


def check_delete_subnet(_state: State, request: AwsRequest) -> None:
    """DeleteSubnet: not with a network interface in it."""
    identifier = request.text("SubnetId")
    if any(subnet == identifier for subnet, _ in moto_network.interfaces(request.region)):
        raise dependency("subnet", identifier)


def check_delete_vpc(_state: State, request: AwsRequest) -> None:
    """DeleteVpc: not with a gateway, an endpoint, or a security group but the default one."""
    identifier = request.text("VpcId")
    if moto_network.dependents_of_vpc(request.region, identifier):
        raise dependency("vpc", identifier)


def check_detach_gateway(state: State, request: AwsRequest) -> None:
    """DetachInternetGateway: not while the VPC has mapped public addresses."""
    vpc = request.text("VpcId")
    if any(
        task.network.public_address and moto_network.vpc_of(task.region, task.network.subnet) == vpc
        for task in state.tasks.values()
        if task.active and task.region == request.region
    ):
        raise AwsError(
            "DependencyViolation",
            f"Network {vpc} has some mapped public address(es). Please unmap those public "
            "address(es) before detaching the gateway.",
        )
