"""The network of our own, made where the user gives none.

A VPC with the range 10.213.0.0/16, a subnet in each of up to three zones, and one route to the
internet: tasks need it for images and logs, and the user's session for the server.

Several sessions may make it at the same time, and a session may die half-way: each step is done
only where it has to be, and one that another session did meanwhile counts as done. The routes
come last, so that a network which has them is complete.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider import tags as tagging
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.ec2_queries import (
    EVERYWHERE,
    all_routed,
    associated,
    attached,
    filters,
    homes,
    leads_out,
    listed,
    tag_specification,
    tagged,
    zones_of,
)
from dockerparallel_ecs_fargate_provider.errors import AWSError, ResourceError
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.settling import is_missing, settled

T = TypeVar("T")

VPC_CIDR = "10.213.0.0/16"
"""The range of the VPC: of the private ones, and seldom used by others."""

# 16,379 usable addresses in each zone, and every task takes one.
_SUBNET_CIDRS = tuple(map(str, ipaddress.IPv4Network(VPC_CIDR).subnets(new_prefix=18)))
_MOST_ZONES = 3
_MOST_VPCS = 5
# Where Fargate is not in all zones: "Supported Regions for Amazon ECS on AWS Fargate", Linux.
_FARGATE_ZONES = {
    "ap-northeast-1": {"apne1-az1", "apne1-az2", "apne1-az4"},
    "cn-north-1": {"cnn1-az1", "cnn1-az2"},
    "us-west-1": {"usw1-az1", "usw1-az3"},
}


class _VpcReplacedError(Exception):
    """The VPC is gone, which the session that made it has removed for another one."""


class OwnNetwork:
    """Makes the network, or what it lacks.

    Parameters
    ----------
    aws, options
        Of the provider.
    tags
        Of what is made.
    logger
        Of the cluster.
    """

    def __init__(
        self, aws: AWS, options: Options, tags: Mapping[str, str], logger: ClusterLogger
    ) -> None:
        self._aws = aws
        self._options = options
        self._tags = tags
        self._logger = logger
        self._vpc_id = ""
        self._ours = tagged(tagging.INFRASTRUCTURE, options.cluster_name)

    def ensure(self) -> tuple[str, tuple[str, ...]]:
        """Return the VPC and its subnets; four reads where nothing has to be made.

        May block for ``start_timeout`` at each step, while AWS does not know yet what it has
        just made. Idempotent.

        Raises
        ------
        AWSError
            AWS refused a call; what was made until then has the tags.
        AWSTimeoutError
            AWS did not come to know what it has made.
        ResourceError
            Fargate runs in no zone of the region.
        """
        for _ in range(_MOST_VPCS):
            # While one is chosen, none is expected to be there.
            self._vpc_id = ""
            self._vpc_id = self._vpc()
            try:
                return self._completed(self._vpc_id)
            except _VpcReplacedError:
                # Of sessions that made one at the same time, all use the first: look again.
                continue
        raise AWSError(
            f"The VPC of {self._options.cluster_name} was replaced {_MOST_VPCS} times while it was "
            "being set up: other sessions make and remove it at this moment. Try again."
        )

    def _completed(self, vpc_id: str) -> tuple[str, tuple[str, ...]]:
        """Return a VPC and its subnets; what it lacks is made."""
        subnets = self._subnets(vpc_id)
        gateways = self._gateways()
        tables = self._tables(vpc_id)
        if not (subnets and attached(gateways, vpc_id) and all_routed(subnets, tables)):
            self._logger.info("Making the network of %s.", self._options.cluster_name)
            # Addresses need no names to be reached, but private endpoints that may be added do.
            # DNS itself is supported by default.
            self._call("ModifyVpcAttribute", VpcId=vpc_id, EnableDnsHostnames={"Value": True})
            subnets = self._make_subnets(vpc_id, subnets)
            self._route(vpc_id, subnets, self._attach_gateway(vpc_id, gateways))
        return vpc_id, tuple(sorted(subnet["SubnetId"] for subnet in subnets))

    def _vpc(self) -> str:
        """Return the VPC, made first if there is none."""
        found = self._vpcs()
        if found:
            return min(str(vpc["VpcId"]) for vpc in found)
        made = self._aws.call(
            "ec2",
            "CreateVpc",
            CidrBlock=VPC_CIDR,
            TagSpecifications=tag_specification("vpc", self._tags),
        )["Vpc"]
        # Another session may have made one at the same time, or boto3 two after a lost answer:
        # all sessions take the first, and one of ours that nobody uses yet goes.
        vpcs = {str(vpc["VpcId"]): vpc for vpc in [made, *self._vpcs()]}
        first = min(vpcs)
        for vpc_id, vpc in vpcs.items():
            made_by = tagging.parsed(vpc.get("Tags")).get(tagging.MADE_BY)
            if vpc_id != first and made_by == self._tags[tagging.MADE_BY]:
                # Unless a session that saw it first has begun to use it.
                self._call("DeleteVpc", unless="DependencyViolation", VpcId=vpc_id)
        return first

    def _make_subnets(self, vpc_id: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        missing = [zone for zone in self._zones() if zone not in zones_of(found)]
        used = {subnet["CidrBlock"] for subnet in found}
        wanted = list(
            zip(missing, [cidr for cidr in _SUBNET_CIDRS if cidr not in used], strict=False)
        )
        for zone, cidr in wanted:
            self._call(
                "CreateSubnet",
                unless="InvalidSubnet.Conflict",
                VpcId=vpc_id,
                AvailabilityZone=zone,
                CidrBlock=cidr,
                TagSpecifications=tag_specification("subnet", self._tags),
            )

        def all_listed() -> list[dict[str, Any]]:
            subnets = self._subnets(vpc_id)
            if len(subnets) < len(found) + len(wanted):
                raise AWSError(
                    f"{vpc_id} has {len(found) + len(wanted)} subnets, AWS lists {len(subnets)}",
                    code="InvalidSubnetID.NotFound",
                )
            return subnets

        return self._seen(all_listed, f"the new subnets of {vpc_id} to be listed")

    def _zones(self) -> list[str]:
        """Return the zones that get a subnet, in the same order for every session."""
        zones = self._aws.call(
            "ec2",
            "DescribeAvailabilityZones",
            Filters=filters(state="available", zone_type="availability-zone"),
        )["AvailabilityZones"]
        known = _FARGATE_ZONES.get(self._aws.region)
        names = [zone["ZoneName"] for zone in zones if not known or zone["ZoneId"] in known]
        if not names:
            raise ResourceError(
                f"The region {self._aws.region} has no zone in which Fargate runs: give another "
                "region, or subnet_ids."
            )
        return sorted(names)[:_MOST_ZONES]

    def _attach_gateway(self, vpc_id: str, found: list[dict[str, Any]]) -> str:
        """Return the internet gateway of the VPC."""
        if there := attached(found, vpc_id):
            return there
        # One that a session made and could not attach is used up first.
        unused = sorted(str(item["InternetGatewayId"]) for item in found if not homes(item))
        gateway = unused[0] if unused else self._make_gateway()
        try:
            self._call("AttachInternetGateway", InternetGatewayId=gateway, VpcId=vpc_id)
        except AWSError as error:
            there = attached(self._gateways(), vpc_id)
            if error.code not in {"Resource.AlreadyAssociated", "InvalidParameterValue"}:
                raise
            if not there:
                raise
            # Another session was faster: a VPC has one gateway at most, and ours is of no use.
            if there != gateway and not unused:
                self._call("DeleteInternetGateway", InternetGatewayId=gateway)
            return there
        return gateway

    def _make_gateway(self) -> str:
        made = self._aws.call(
            "ec2",
            "CreateInternetGateway",
            TagSpecifications=tag_specification("internet-gateway", self._tags),
        )
        return str(made["InternetGateway"]["InternetGatewayId"])

    def _route(self, vpc_id: str, subnets: list[dict[str, Any]], gateway: str) -> None:
        """Give every subnet the route to the internet."""
        tables = self._tables(vpc_id)
        if not tables:
            made = self._call(
                "CreateRouteTable",
                VpcId=vpc_id,
                TagSpecifications=tag_specification("route-table", self._tags),
            )
            tables = [made["RouteTable"]]
        for table in tables:
            if not leads_out(table):
                self._call(
                    "CreateRoute",
                    unless="RouteAlreadyExists",
                    RouteTableId=table["RouteTableId"],
                    DestinationCidrBlock=EVERYWHERE,
                    GatewayId=gateway,
                )
        first = min(str(table["RouteTableId"]) for table in tables)
        for subnet in subnets:
            if not any(associated(subnet, table) for table in tables):
                self._call(
                    "AssociateRouteTable",
                    unless="Resource.AlreadyAssociated",
                    RouteTableId=first,
                    SubnetId=subnet["SubnetId"],
                )

    def _call(self, action: str, unless: str = "", **parameters: Any) -> dict[str, Any]:
        """Make a call about things that AWS may not know yet, as they were just made.

        Parameters
        ----------
        unless
            The code of AWS's that says that another session has done it, which is as good.
        """

        def call() -> dict[str, Any]:
            try:
                return self._aws.call("ec2", action, **parameters)
            except AWSError as error:
                if not unless or error.code != unless:
                    raise
                return {}

        return self._seen(call, f"AWS to know what {action} is about")

    def _seen(self, call: Callable[[], T], waits_for: str) -> T:
        return settled(
            call,
            refused_for_now=self._may_pass,
            waits_for=waits_for,
            timeout=self._options.start_timeout,
            logger=self._logger,
        )

    def _may_pass(self, error: AWSError) -> bool:
        """Tell whether AWS only does not know yet what was just made."""
        if error.code == "InvalidVpcID.NotFound" and self._vpc_id:
            there = {str(vpc["VpcId"]) for vpc in self._vpcs()}
            if there and self._vpc_id not in there:
                raise _VpcReplacedError from error
        return is_missing(error)

    def _vpcs(self) -> list[dict[str, Any]]:
        return listed(self._aws, "DescribeVpcs", "Vpcs", self._ours)

    def _gateways(self) -> list[dict[str, Any]]:
        return listed(self._aws, "DescribeInternetGateways", "InternetGateways", self._ours)

    def _subnets(self, vpc_id: str) -> list[dict[str, Any]]:
        wanted = [*self._ours, *filters(vpc_id=vpc_id)]
        return listed(self._aws, "DescribeSubnets", "Subnets", wanted)

    def _tables(self, vpc_id: str) -> list[dict[str, Any]]:
        wanted = [*self._ours, *filters(vpc_id=vpc_id)]
        return listed(self._aws, "DescribeRouteTables", "RouteTables", wanted)
