"""What AWS asks of a policy for each call of the infrastructure, and a caller held to a policy.

The table follows AWS's "Service Authorization Reference": which resources an action is checked
against, and which condition keys it has then. The evaluation is that of the harness.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import boto3
from ecs_fargate_sessions import REGION

from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.errors import AWSPermissionError
from dockerparallel_ecs_fargate_provider.tags import parsed
from dockerparallel_fargate_harness import FargateHarness
from dockerparallel_fargate_harness.policy import evaluate

ACCOUNT = "123456789012"
USER_ID = "AKIAIOSFODNN7EXAMPLE"

# Action: what it makes, and by which parameters it names what there is already.
_EC2_MAKES = {
    "AuthorizeSecurityGroupIngress": ("security-group-rule", ["GroupId"]),
    "CreateInternetGateway": ("internet-gateway", []),
    "CreateRouteTable": ("route-table", ["VpcId"]),
    "CreateSecurityGroup": ("security-group", ["VpcId"]),
    "CreateSubnet": ("subnet", ["VpcId"]),
    "CreateVpc": ("vpc", []),
}
_EC2_NAMES = {
    "GroupId": "security-group",
    "InternetGatewayId": "internet-gateway",
    "RouteTableId": "route-table",
    "SubnetId": "subnet",
    "VpcId": "vpc",
}


class Need(NamedTuple):
    """One thing that a policy must allow."""

    action: str
    resource: str
    context: Mapping[str, str]

    def allowed_by(self, policy: Mapping[str, Any]) -> bool:
        """Tell whether a policy of the user of the tests allows it."""
        document = json.loads(json.dumps(policy).replace("${aws:userid}", USER_ID))
        context = {"aws:RequestedRegion": REGION, **self.context}
        return evaluate([document], self.action, self.resource, context).allowed


def arn(service: str, resource: str) -> str:
    """Return an ARN in the account and region of the tests."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def with_tags(kind: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the condition keys of tags; the kind is ``RequestTag`` or ``ResourceTag``."""
    return {f"aws:{kind}/{key}": text for key, text in tags.items()}


class Permitted(AWS):
    """Calls AWS as long as a policy allows it, and remembers what it had to allow.

    Parameters
    ----------
    harness, session
        Whom to call, and how.
    policy
        Of the caller.
    """

    def __init__(
        self, harness: FargateHarness, session: boto3.Session, policy: Mapping[str, Any]
    ) -> None:
        super().__init__(session, REGION, harness.endpoint_url)
        self._raw = {name: harness.client(name) for name in ("ec2", "ecs", "iam", "logs")}
        self.policy = policy
        self.needs: list[Need] = []

    def call(self, service: str, action: str, **parameters: Any) -> dict[str, Any]:
        """Call AWS where the policy allows it.

        Raises
        ------
        AWSPermissionError
            It does not.
        """
        for need in getattr(self, f"_{service}")(action, parameters):
            self.needs.append(need)
            if not need.allowed_by(self.policy):
                raise AWSPermissionError(f"not allowed: {need}", code="AccessDenied")
        return super().call(service, action, **parameters)

    def _sts(self, action: str, _: Mapping[str, Any]) -> Iterator[Need]:
        # No policy is asked about this one.
        assert action == "GetCallerIdentity"
        yield from ()

    def _ec2(self, action: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
        if action.startswith("Describe"):
            yield Need(f"ec2:{action}", "*", {})
            return
        made, named = _EC2_MAKES.get(action, ("", list(_EC2_NAMES)))
        if made:
            (specification,) = parameters["TagSpecifications"]
            assert specification["ResourceType"] == made
            request = with_tags("RequestTag", parsed(specification["Tags"]))
            yield Need(f"ec2:{action}", arn("ec2", f"{made}/*"), request)
            create = {"ec2:CreateAction": action, **request}
            yield Need("ec2:CreateTags", arn("ec2", f"{made}/*"), create)
        existing = [parameters[name] for name in named if name in parameters]
        if action == "DisassociateRouteTable":
            existing = self._associated(parameters["AssociationId"])
        if action in {"AttachInternetGateway", "DetachInternetGateway"}:
            assert len(existing) == 2
        assert made or existing
        for identifier in existing:
            kind = {"sg": "security-group", "igw": "internet-gateway", "rtb": "route-table"}
            prefix = identifier.partition("-")[0]
            resource = arn("ec2", f"{kind.get(prefix, prefix)}/{identifier}")
            wanted = [{"Name": "resource-id", "Values": [identifier]}]
            tags = parsed(self._raw["ec2"].describe_tags(Filters=wanted)["Tags"])
            yield Need(f"ec2:{action}", resource, with_tags("ResourceTag", tags))

    def _associated(self, association: str) -> list[str]:
        wanted = [{"Name": "association.route-table-association-id", "Values": [association]}]
        (table,) = self._raw["ec2"].describe_route_tables(Filters=wanted)["RouteTables"]
        (home,) = [
            item for item in table["Associations"] if item["RouteTableAssociationId"] == association
        ]
        return [table["RouteTableId"], home["SubnetId"]]

    def _iam(self, action: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
        role = f"arn:aws:iam::{ACCOUNT}:role/{parameters['RoleName']}"
        if action == "CreateRole":
            request = with_tags("RequestTag", parsed(parameters["Tags"]))
            yield Need("iam:CreateRole", role, request)
            yield Need("iam:TagRole", role, request)
            return
        tags: dict[str, str] = {}
        for item in self._raw["iam"].list_roles()["Roles"]:
            if item["RoleName"] == parameters["RoleName"]:
                found = self._raw["iam"].list_role_tags(RoleName=item["RoleName"])
                tags = parsed(found["Tags"])
        yield Need(f"iam:{action}", role, with_tags("ResourceTag", tags))

    def _logs(self, action: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
        if action == "DescribeLogGroups":
            yield Need("logs:DescribeLogGroups", "*", {})
        elif action == "ListTagsForResource":
            yield Need("logs:ListTagsForResource", parameters["resourceArn"], {})
        else:
            group = arn("logs", f"log-group:{parameters['logGroupName']}")
            if action == "CreateLogGroup":
                request = with_tags("RequestTag", parameters["tags"])
                yield Need("logs:CreateLogGroup", f"{group}:log-stream:", request)
                yield Need("logs:TagResource", group, request)
                return
            tags = self._raw["logs"].list_tags_for_resource(resourceArn=group)["tags"]
            resource = with_tags("ResourceTag", tags)
            yield Need(f"logs:{action}", f"{group}:log-stream:", resource)

    def _ecs(self, action: str, parameters: Mapping[str, Any]) -> Iterator[Need]:
        name = parameters.get("clusterName") or parameters.get("cluster")
        (name,) = parameters.get("clusters", [name])
        cluster = arn("ecs", f"cluster/{name}")
        if action == "CreateCluster":
            request = with_tags("RequestTag", parsed(parameters["tags"]))
            yield Need("ecs:CreateCluster", "*", request)
            create = {"ecs:CreateAction": "CreateCluster", **request}
            yield Need("ecs:TagResource", cluster, create)
            role = "AWSServiceRoleForECS"
            yield Need(
                "iam:CreateServiceLinkedRole",
                f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/ecs.amazonaws.com/{role}",
                {"iam:AWSServiceName": "ecs.amazonaws.com"},
            )
            return
        found = self._raw["ecs"].describe_clusters(clusters=[name], include=["TAGS"])["clusters"]
        tags = parsed(found[0]["tags"]) if found else {}
        yield Need(f"ecs:{action}", cluster, with_tags("ResourceTag", tags))
