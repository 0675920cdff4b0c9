"""Removing the network of our own, and the rules that let sessions in, by their tags.

Everything is found by tags and never by what a session remembers: boto3 repeats a call whose answer
was lost, so that there may be more than anybody was told of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.ec2_queries import homes, listed, tagged
from dockerparallel_ecs_fargate_provider.errors import AWSError
from dockerparallel_ecs_fargate_provider.removal import Removal
from dockerparallel_ecs_fargate_provider.settling import settled


def remove_network(
    aws: AWS,
    key: str,
    text: str,
    *,
    group: bool,
    network: bool,
    logger: ClusterLogger | None,
    timeout: float,
) -> None:
    """Remove all rules, security groups and parts of networks that have a tag; idempotent.

    They go in the order in which they depend on each other: no route is taken while a task may
    still use it. Waits for network interfaces of tasks that are stopping, and looks everything up
    anew after each wait, as AWS may not have listed at once what was made last.

    Parameters
    ----------
    aws
        To ask.
    key, text
        The tag.
    group
        Whether security groups and their rules are ours to remove.
    network
        Whether everything else is.
    logger
        Is told what is waited for.
    timeout
        Seconds to wait in all.

    Raises
    ------
    AWSTimeoutError
        Something was still in use; the message has AWS's words about what.
    AWSError
        AWS refused a call. All else was tried; notes tell what is left.
    """
    settled(
        lambda: _Round(aws, tagged(key, text)).run(group=group, network=network),
        refused_for_now=_is_in_use,
        waits_for="the network interfaces of stopped tasks to go, so that their network can",
        timeout=timeout,
        logger=logger,
    )


def _is_in_use(error: AWSError) -> bool:
    return error.code in {"DependencyViolation", "InvalidGroup.InUse"}


class _Round:
    """One attempt to remove everything."""

    def __init__(self, aws: AWS, wanted: list[dict[str, Any]]) -> None:
        self._aws = aws
        self._wanted = wanted
        self._removal = Removal(_is_in_use)

    def run(self, *, group: bool, network: bool) -> None:
        if group:
            self._each("DescribeSecurityGroupRules", "SecurityGroupRules", self._revoke)
            delete = self._delete("SecurityGroup", "Group")
            self._each("DescribeSecurityGroups", "SecurityGroups", delete)
        if network:
            self._each("DescribeSubnets", "Subnets", self._delete("Subnet"))
            self._each("DescribeRouteTables", "RouteTables", self._route_table)
            self._each("DescribeInternetGateways", "InternetGateways", self._gateway)
            self._each("DescribeVpcs", "Vpcs", self._delete("Vpc"))
        self._removal.finish()

    def _each(self, action: str, key: str, remove: Callable[[Mapping[str, Any]], None]) -> None:
        found: list[dict[str, Any]] = []
        self._removal.attempt(
            f"what {action} lists",
            lambda: found.extend(listed(self._aws, action, key, self._wanted)),
        )
        for item in found:
            remove(item)

    def _attempt(self, what: str, action: str, **parameters: Any) -> None:
        self._removal.attempt(what, lambda: self._aws.call("ec2", action, **parameters))

    def _delete(self, kind: str, short: str = "") -> Callable[[Mapping[str, Any]], None]:
        name = f"{short or kind}Id"

        def delete(item: Mapping[str, Any]) -> None:
            self._attempt(item[name], f"Delete{kind}", **{name: item[name]})

        return delete

    def _revoke(self, rule: Mapping[str, Any]) -> None:
        self._attempt(
            f"rule {rule['SecurityGroupRuleId']} of {rule['GroupId']}",
            "RevokeSecurityGroupIngress",
            GroupId=rule["GroupId"],
            SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]],
        )

    def _route_table(self, table: Mapping[str, Any]) -> None:
        table_id = table["RouteTableId"]
        for association in table.get("Associations", ()):
            self._attempt(
                f"association of {table_id}",
                "DisassociateRouteTable",
                AssociationId=association["RouteTableAssociationId"],
            )
        self._attempt(table_id, "DeleteRouteTable", RouteTableId=table_id)

    def _gateway(self, gateway: Mapping[str, Any]) -> None:
        gateway_id = gateway["InternetGatewayId"]
        for vpc_id in homes(gateway):
            self._attempt(
                f"attachment of {gateway_id}",
                "DetachInternetGateway",
                InternetGatewayId=gateway_id,
                VpcId=vpc_id,
            )
        self._attempt(gateway_id, "DeleteInternetGateway", InternetGatewayId=gateway_id)
