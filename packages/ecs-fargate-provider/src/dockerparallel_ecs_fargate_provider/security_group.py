"""The security group of the tasks: who may open connections to them.

It lets in the group itself, so that workers reach the server, and the one port of the server from
the network of the user's session. Nothing else: no ssh, no other port.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider import tags as tagging
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.ec2_queries import (
    filters,
    listed,
    tag_specification,
    tagged,
)
from dockerparallel_ecs_fargate_provider.errors import AWSError, ResourceError
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.security_rules import (
    ALL_TCP,
    description,
    lets_in_group,
    lets_in_network,
    one_port,
)
from dockerparallel_ecs_fargate_provider.settling import is_missing, settled


class SecurityGroup:
    """Finds, checks or makes the security group; thread-safe.

    Parameters
    ----------
    aws, options
        Of the provider.
    """

    def __init__(self, aws: AWS, options: Options) -> None:
        self._aws = aws
        self._options = options
        self._name = f"dockerparallel-{options.cluster_name}"

    @property
    def given(self) -> bool:
        """Whether the group is the user's: then its rules are looked at, and never changed."""
        return self._options.security_group_id is not None

    def verify(self, vpc_id: str | None) -> str:
        """Return the group that the user gave; one read.

        Parameters
        ----------
        vpc_id
            Where it must be; ``None`` where the network is still to be made.

        Raises
        ------
        ResourceError
            It does not exist, or is in another VPC.
        AWSError
            AWS refused the call.
        """
        group = self._given()
        if vpc_id is None:
            raise ResourceError(
                f"security_group_id={group['GroupId']!r} is of the VPC {group['VpcId']}, and "
                f"neither vpc_id nor subnet_ids is given: give vpc_id={group['VpcId']!r} too."
            )
        if group["VpcId"] != vpc_id:
            raise ResourceError(
                f"security_group_id={group['GroupId']!r} is of the VPC {group['VpcId']}, and the "
                f"subnets are in {vpc_id}: give a group of that VPC."
            )
        return str(group["GroupId"])

    def ensure(self, vpc_id: str, tags: Mapping[str, str], logger: ClusterLogger) -> str:
        """Return the group, made or completed first where it has to be; one read if it is there.

        Idempotent, also among sessions. May block for ``start_timeout`` while AWS does not know
        yet what it has just made.

        Raises
        ------
        ResourceError
            As :meth:`verify`; or a group that is not ours has the name of ours.
        AWSError
            AWS refused a call.
        """
        if self.given:
            return self.verify(vpc_id)
        wanted = [*self._ours(), *filters(vpc_id=vpc_id)]
        groups = listed(self._aws, "DescribeSecurityGroups", "SecurityGroups", wanted)
        group = min(groups, key=lambda item: str(item["GroupId"])) if groups else None
        if group is None:
            group = self._make(vpc_id, tags, logger)
        group_id = str(group["GroupId"])
        if not lets_in_group(group, group_id, None):
            peers = {**ALL_TCP, "UserIdGroupPairs": [{"GroupId": group_id}]}
            self._add(group_id, peers, tags)
        return group_id

    def let_in(
        self,
        group_id: str,
        subnet_ids: Iterable[str],
        cidr: str,
        port: int,
        tags: Mapping[str, str],
    ) -> None:
        """Let a network open connections to one TCP port of the tasks; idempotent.

        Parameters
        ----------
        group_id, subnet_ids
            Where the tasks run.
        cidr
            Such as ``"203.0.113.7/32"``.
        port
            Of the server.
        tags
            Of the rule.

        Raises
        ------
        ResourceError
            The group was given and does not let in what it has to, or it is full of rules.
        AWSError
            AWS refused a call.
        """
        if self.given:
            self._check_rules(tuple(subnet_ids), cidr, port)
            return
        described = {"CidrIp": cidr, "Description": description(tags)}
        self._add(group_id, {**one_port(port), "IpRanges": [described]}, tags)

    def shut_out(self, group_id: str) -> None:
        """Take back all that any session's :meth:`let_in` has opened; idempotent.

        One read, and one call where anything was open. The rule by which the group lets itself in
        stays; a group that was given is not looked at.

        Raises
        ------
        AWSError
            AWS refused a call.
        """
        if self.given:
            return
        try:
            wanted = [*self._ours(), *filters(group_id=group_id)]
            rules = listed(self._aws, "DescribeSecurityGroupRules", "SecurityGroupRules", wanted)
            opened = [rule["SecurityGroupRuleId"] for rule in rules if rule.get("CidrIpv4")]
            if opened:
                self._aws.call(
                    "ec2",
                    "RevokeSecurityGroupIngress",
                    GroupId=group_id,
                    SecurityGroupRuleIds=opened,
                )
        except AWSError as error:
            # The rules, or the whole group, are gone: that is what was asked for.
            if not is_missing(error):
                raise

    def _ours(self) -> list[dict[str, Any]]:
        return tagged(tagging.INFRASTRUCTURE, self._options.cluster_name)

    def _given(self) -> dict[str, Any]:
        given = str(self._options.security_group_id)
        found = listed(
            self._aws, "DescribeSecurityGroups", "SecurityGroups", filters(group_id=given)
        )
        if not found:
            raise ResourceError(
                f"security_group_id={given!r} does not exist in {self._aws.region} for account "
                f"{self._aws.identity.account}: give one that 'aws ec2 describe-security-groups' "
                "lists, or leave it out for one of our own."
            )
        return found[0]

    def _make(self, vpc_id: str, tags: Mapping[str, str], logger: ClusterLogger) -> dict[str, Any]:
        logger.info("Making the security group %s.", self._name)

        def make() -> dict[str, Any]:
            try:
                return self._aws.call(
                    "ec2",
                    "CreateSecurityGroup",
                    GroupName=self._name,
                    Description=description(tags),
                    VpcId=vpc_id,
                    TagSpecifications=tag_specification("security-group", tags),
                )
            except AWSError as error:
                # Made by another session at this moment, or by us if an answer was lost.
                if error.code != "InvalidGroup.Duplicate":
                    raise
                return self._of_our_name(vpc_id)

        return settled(
            make,
            refused_for_now=is_missing,
            waits_for=f"AWS to know {vpc_id}",
            timeout=self._options.start_timeout,
            logger=logger,
        )

    def _of_our_name(self, vpc_id: str) -> dict[str, Any]:
        wanted = filters(vpc_id=vpc_id, group_name=self._name)
        found = listed(self._aws, "DescribeSecurityGroups", "SecurityGroups", wanted)
        if not found:
            raise AWSError(f"{self._name} is not listed yet", code="InvalidGroup.NotFound")
        group = found[0]
        ours = tagging.parsed(group.get("Tags")).get(tagging.INFRASTRUCTURE)
        if ours != self._options.cluster_name:
            raise ResourceError(
                f"The VPC {vpc_id} has a security group {self._name!r} ({group['GroupId']}) that "
                "DockerParallel has not made: rename it, give another cluster_name, or pass it "
                "as security_group_id."
            )
        return group

    def _add(self, group_id: str, permission: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        def add() -> None:
            try:
                self._aws.call(
                    "ec2",
                    "AuthorizeSecurityGroupIngress",
                    GroupId=group_id,
                    IpPermissions=[permission],
                    TagSpecifications=tag_specification("security-group-rule", tags),
                )
            except AWSError as error:
                if error.code == "RulesPerSecurityGroupLimitExceeded":
                    raise ResourceError(
                        f"The security group {group_id} is full of rules: remove those of networks "
                        "that no session uses any more ('aws ec2 describe-security-group-rules' "
                        "lists them), or have the quota of rules raised.",
                        code=error.code,
                        text=error.text,
                    ) from error
                # There already: by an earlier session, or by one at this moment.
                if error.code != "InvalidPermission.Duplicate":
                    raise

        settled(
            add,
            refused_for_now=is_missing,
            waits_for=f"AWS to know {group_id}",
            timeout=self._options.start_timeout,
        )

    def _check_rules(self, subnet_ids: tuple[str, ...], cidr: str, port: int) -> None:
        group = self._given()
        group_id = str(group["GroupId"])
        how = f"add a rule to it (TCP, port {port}, source"
        if not lets_in_network(group, cidr, port):
            raise ResourceError(
                f"security_group_id={group_id!r} does not let in this session, which comes from "
                f"{cidr}: {how} {cidr}), or set client_cidr= if the session comes from elsewhere."
            )
        if lets_in_group(group, group_id, port):
            return
        subnets = listed(self._aws, "DescribeSubnets", "Subnets", filters(subnet_id=subnet_ids))
        if not all(lets_in_network(group, subnet["CidrBlock"], port) for subnet in subnets):
            raise ResourceError(
                f"security_group_id={group_id!r} does not let in its own tasks, so that workers "
                f"cannot reach the server: {how} {group_id})."
            )
