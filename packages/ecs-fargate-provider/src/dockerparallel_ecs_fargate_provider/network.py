"""The network in which tasks run: the user's, which is only looked at, or one of our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.ec2_queries import filters, is_public, listed
from dockerparallel_ecs_fargate_provider.errors import ResourceError
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.own_network import OwnNetwork

MOST_SUBNETS = 16
"""How many subnets RunTask takes; AwsVpcConfiguration in the reference of the ECS API."""


class Subnets(NamedTuple):
    """A VPC and those of its subnets in which tasks may run."""

    vpc_id: str
    subnet_ids: tuple[str, ...]


class Network:
    """Finds, checks or makes the network of the tasks; thread-safe.

    Parameters
    ----------
    aws, options
        Of the provider.
    """

    def __init__(self, aws: AWS, options: Options) -> None:
        self._aws = aws
        self._options = options

    @property
    def given(self) -> bool:
        """Whether the network is the user's."""
        return bool(self._options.vpc_id or self._options.subnet_ids)

    def verify(self) -> Subnets:
        """Return the network that the user gave; one or two reads.

        Raises
        ------
        ResourceError
            A part of it does not exist, is in another VPC, or has no way to the internet.
        AWSError
            AWS refused a call.
        """
        if self._options.subnet_ids:
            return self._given_subnets(self._options.subnet_ids)
        return self._subnets_of_given_vpc(str(self._options.vpc_id))

    def ensure(self, tags: Mapping[str, str], logger: ClusterLogger) -> Subnets:
        """Return the network; one of our own is made, or completed, where it has to be.

        See :meth:`verify` and :meth:`OwnNetwork.ensure` for what it raises and how long it takes.
        """
        if self.given:
            return self.verify()
        return Subnets(*OwnNetwork(self._aws, self._options, tags, logger).ensure())

    def _given_subnets(self, given: tuple[str, ...]) -> Subnets:
        if len(given) > MOST_SUBNETS:
            raise ResourceError(
                f"subnet_ids names {len(given)} subnets: ECS takes at most {MOST_SUBNETS}; give "
                "those with the most free addresses."
            )
        found = listed(self._aws, "DescribeSubnets", "Subnets", filters(subnet_id=given))
        missing = sorted(set(given) - {subnet["SubnetId"] for subnet in found})
        if missing:
            raise ResourceError(
                f"subnet_ids names {', '.join(missing)}, which do not exist in "
                f"{self._aws.region} for account {self._aws.identity.account}: give subnets that "
                "'aws ec2 describe-subnets' lists, or set the region."
            )
        vpcs = sorted({subnet["VpcId"] for subnet in found})
        if len(vpcs) > 1:
            raise ResourceError(
                f"subnet_ids={list(given)!r} are in several VPCs ({', '.join(vpcs)}): give "
                "subnets of one, since server and workers must reach each other."
            )
        if self._options.vpc_id not in {None, vpcs[0]}:
            raise ResourceError(
                f"vpc_id={self._options.vpc_id!r}, but the subnets of subnet_ids are in "
                f"{vpcs[0]}: leave vpc_id out, or give subnets of that VPC."
            )
        return Subnets(vpcs[0], given)

    def _subnets_of_given_vpc(self, vpc_id: str) -> Subnets:
        subnets = listed(self._aws, "DescribeSubnets", "Subnets", filters(vpc_id=vpc_id))
        if not subnets:
            raise ResourceError(
                f"vpc_id={vpc_id!r} does not exist in {self._aws.region}, or has no subnets: give "
                "one that 'aws ec2 describe-subnets' lists, or leave vpc_id out for a new network."
            )
        if self._options.assign_public_ip:
            tables = listed(self._aws, "DescribeRouteTables", "RouteTables", filters(vpc_id=vpc_id))
            subnets = [subnet for subnet in subnets if is_public(subnet, tables)]
        if not subnets:
            raise ResourceError(
                f"vpc_id={vpc_id!r} has no subnet with a route to an internet gateway, without "
                "which public addresses reach nothing: give subnet_ids, or assign_public_ip=False "
                "where its subnets have a NAT gateway and this machine reaches them."
            )
        return Subnets(vpc_id, tuple(sorted(item["SubnetId"] for item in subnets)[:MOST_SUBNETS]))
