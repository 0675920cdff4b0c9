"""The statements of the policy of :mod:`dockerparallel_ecs_fargate_provider.policy`.

IAM limits the size of a policy: what has the same condition stands in one statement, whatever
the service. An action only ever applies to the resources of its own service.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dockerparallel_ecs_fargate_provider import tags
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.role_policies import (
    SERVICE,
    key_statement,
    log_group_of,
    role_name,
)

Statement = dict[str, Any]

_REQUESTED = f"aws:RequestTag/{tags.INFRASTRUCTURE}"
_TAGGED = f"aws:ResourceTag/{tags.INFRASTRUCTURE}"
_OWNER = f"aws:ResourceTag/{tags.OWNER_ID}"
_CALLER = "${aws:userid}"


@dataclass(frozen=True)
class Scope:
    """What a policy is for; see :func:`policy_document`."""

    options: Options
    account: str
    region: str
    partition: str = "aws"
    cleanup: bool = field(default=False, kw_only=True)

    @property
    def cluster(self) -> str:
        """The name of the ECS cluster."""
        return self.options.cluster_name

    @property
    def makes_network(self) -> bool:
        """Whether the network is ours."""
        return not (self.options.vpc_id or self.options.subnet_ids)

    @property
    def makes_group(self) -> bool:
        """Whether the security group is ours."""
        return self.options.security_group_id is None

    @property
    def makes_role(self) -> bool:
        """Whether the execution role is ours."""
        return self.options.execution_role_arn is None

    @property
    def makes_logs(self) -> bool:
        """Whether the log group is ours."""
        return self.options.log_group is None

    @property
    def roles(self) -> list[str]:
        """The ARNs of the roles of tasks: the execution role, and the task role if given."""
        own = role_name(self.cluster, self.region)
        execution = self.options.execution_role_arn or f"arn:{self._iam}:role/{own}"
        return [execution, *filter(None, [self.options.task_role_arn])]

    @property
    def logs(self) -> list[str]:
        """The log group, in the two forms in which actions name it."""
        name = log_group_of(self.options)
        return [self.arn("logs", f"log-group:{name}"), self.arn("logs", f"log-group:{name}:*")]

    @property
    def parameters(self) -> str:
        """What the ARNs of all parameters begin with."""
        return self.arn("ssm", f"parameter/dockerparallel/{self.cluster}/")

    @property
    def secrets(self) -> str:
        """The ARNs of all secrets."""
        return self.arn("secretsmanager", f"secret:dockerparallel/{self.cluster}/*")

    @property
    def ecs_cluster(self) -> str:
        """The ARN of the ECS cluster."""
        return self.arn("ecs", f"cluster/{self.cluster}")

    @property
    def _iam(self) -> str:
        return f"{self.partition}:iam::{self.account}"

    def arn(self, service: str, resource: str) -> str:
        """Return an ARN in the region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


def seeing(scope: Scope) -> list[Statement]:
    """Return what AWS does not limit to a resource, and what is read of what is shared."""
    see = ["NetworkInterfaces", "SecurityGroups", "Subnets"]
    see += ["SecurityGroupRules"] if scope.makes_group else []
    if scope.makes_network:
        see += ["AvailabilityZones", "InternetGateways", "RouteTables", "Vpcs"]
    elif scope.options.assign_public_ip and not scope.options.subnet_ids:
        see += ["RouteTables"]
    unlimited = [f"ec2:Describe{name}" for name in see]
    unlimited += ["ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition"]
    unlimited += ["ecs:ListTaskDefinitions", "logs:DescribeLogGroups"]
    unlimited += ["ecs:ListTaskDefinitionFamilies"] if scope.cleanup else []
    unlimited += ["secretsmanager:ListSecrets", "ssm:DescribeParameters"]
    keep = ["ecs:DescribeClusters", "ecs:DescribeTasks", "ecs:StopTask", "iam:GetRole"]
    keep += ["ecs:PutClusterCapacityProviders"] if scope.options.spot else []
    keep += ["logs:GetLogEvents"]
    keep += ["logs:ListTagsForResource", "logs:PutRetentionPolicy"] if scope.makes_logs else []
    keep += ["iam:GetRolePolicy", "iam:PutRolePolicy"] if scope.makes_role else []
    tasks = scope.arn("ecs", f"task/{scope.cluster}/*")
    shared = [scope.ecs_cluster, tasks, *scope.roles, *scope.logs]
    return [_allow("See", unlimited, "*"), _allow("UseWhatIsShared", keep, shared)]


def making(scope: Scope) -> list[Statement]:
    """Return what is made, always with our tags; nothing that exists can be given them."""
    create = ["ecs:CreateCluster", "ecs:RegisterTaskDefinition"]
    if scope.makes_network:
        parts = ("InternetGateway", "RouteTable", "Subnet", "Vpc")
        create += [f"ec2:Create{part}" for part in parts]
    if scope.makes_group:
        create += ["ec2:AuthorizeSecurityGroupIngress", "ec2:CreateSecurityGroup"]
    named = ["secretsmanager:CreateSecret", "secretsmanager:TagResource"]
    names = [scope.secrets]
    if scope.makes_role:
        named += ["iam:CreateRole", "iam:TagRole"]
        names += scope.roles[:1]
    if scope.makes_logs:
        named += ["logs:CreateLogGroup", "logs:TagResource"]
        names += scope.logs
    tagged = {_REQUESTED: scope.cluster}
    here = {"aws:RequestedRegion": scope.region}
    found = [
        _allow("Make", create, "*", {"StringEquals": {**tagged, **here}}),
        _allow("MakeByName", named, names, {"StringEquals": tagged}),
        _allow("TagInECS", ["ecs:TagResource"], "*", _never_absent("ecs:CreateAction")),
    ]
    if scope.makes_group:
        creating = _never_absent("ec2:CreateAction")
        found += [_allow("TagInEC2", ["ec2:CreateTags"], "*", creating)]
    return found


def networking(scope: Scope) -> list[Statement]:
    """Return what is done with the parts of the network that have our tag."""
    use: list[str] = []
    if scope.makes_network:
        use += ["AssociateRouteTable", "AttachInternetGateway", "CreateRoute"]
        use += ["CreateRouteTable", "CreateSubnet", "ModifyVpcAttribute"]
    if scope.makes_group:
        use += ["AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"]
        use += ["CreateSecurityGroup"] if scope.makes_network else []
    actions = [f"ec2:{action}" for action in use]
    ours = {"StringEquals": {_TAGGED: scope.cluster}}
    found = [_allow("UseNetwork", actions, scope.arn("ec2", "*/*"), ours)] if actions else []
    if scope.makes_group and not scope.makes_network:
        vpc = scope.arn("ec2", f"vpc/{scope.options.vpc_id or '*'}")
        found += [_allow("MakeGroupInGivenNetwork", ["ec2:CreateSecurityGroup"], vpc)]
    return found


def removing(scope: Scope) -> list[Statement]:
    """Return what is removed: what has our tag and, without cleanup, that of the caller."""
    remove = ["ecs:DeleteCluster", "secretsmanager:DeleteSecret", "ssm:DeleteParameters"]
    if scope.makes_network:
        remove += ["ec2:DeleteInternetGateway", "ec2:DeleteRouteTable", "ec2:DeleteSubnet"]
        remove += ["ec2:DeleteVpc", "ec2:DetachInternetGateway", "ec2:DisassociateRouteTable"]
    remove += ["ec2:DeleteSecurityGroup"] if scope.makes_group else []
    remove += ["iam:DeleteRole", "iam:DeleteRolePolicy"] if scope.makes_role else []
    remove += ["logs:DeleteLogGroup"] if scope.makes_logs else []
    owner = {} if scope.cleanup else {_OWNER: _CALLER}
    return [_allow("Remove", remove, "*", {"StringEquals": {_TAGGED: scope.cluster, **owner}})]


def running(scope: Scope) -> list[Statement]:
    """Return what starts tasks with their roles, in the ECS cluster alone."""
    here = {"ArnEquals": {"ecs:cluster": scope.ecs_cluster}}
    made = {"StringEquals": {_REQUESTED: scope.cluster}}
    definitions = scope.arn("ecs", f"task-definition/dockerparallel-{scope.cluster}-*")
    to_tasks = {"StringEquals": {"iam:PassedToService": SERVICE}}
    ecs = {"StringEquals": {"iam:AWSServiceName": "ecs.amazonaws.com"}}
    first_use = ["iam:CreateServiceLinkedRole"]
    return [
        _allow("RunTasks", ["ecs:RunTask"], definitions, {**here, **made}),
        _allow("ListTasks", ["ecs:ListTasks"], "*", here),
        _allow("PassRoles", ["iam:PassRole"], scope.roles, to_tasks),
        # AWS makes this role of its own when an account uses ECS for the first time.
        _allow("LetECSMakeItsRole", first_use, "*", ecs),
    ]


def storing(scope: Scope) -> list[Statement]:
    """Return what concerns the contents of parameters and secrets, each user's own alone."""
    path = f"{scope.parameters}*"
    owned = {_OWNER: _CALLER}
    # Who has which name and which slot: no secrets, and all have to see what is taken.
    claims = [f"{scope.parameters}{names}" for names in ("clusters/*", "slots/*/claim")]
    write = ["ssm:AddTagsToResource", "ssm:PutParameter"]
    found = [
        _allow("ClaimNames", [*write, "ssm:GetParameters"], claims),
        # One that does not exist yet has no owner. Who could change the tags of another's could
        # read it.
        _allow("WriteOwnParameters", write, path, {"StringEqualsIfExists": owned}),
        _allow("ReadOwnParameters", ["ssm:GetParameters"], path, {"StringEquals": owned}),
    ]
    key = scope.options.kms_key_id
    if key is not None:
        use = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
        where = (scope.partition, scope.region, scope.account)
        statement = key_statement("UseKey", use, key, *where)
        services = [f"{name}.{scope.region}.amazonaws.com*" for name in ("secretsmanager", "ssm")]
        via = {"StringLike": {"kms:ViaService": services}}
        found.append({**statement, "Condition": {**statement.get("Condition", {}), **via}})
    return found


def collecting(scope: Scope) -> list[Statement]:
    """Return what ending forgotten clusters takes."""
    in_cluster = {"ArnEquals": {"ecs:cluster": scope.ecs_cluster}}
    return [
        _allow("See", ["secretsmanager:ListSecrets", "ssm:DescribeParameters"], "*"),
        _allow("ListTasks", ["ecs:ListTasks"], "*", in_cluster),
        _allow(
            "EndTasks",
            ["ecs:DescribeTasks", "ecs:StopTask"],
            scope.arn("ecs", f"task/{scope.cluster}/*"),
        ),
        _allow(
            "ReadLeases",
            ["ssm:GetParameters"],
            [f"{scope.parameters}clusters/*", f"{scope.parameters}slots/*/claim"],
        ),
        _allow(
            "Remove",
            ["secretsmanager:DeleteSecret", "ssm:DeleteParameters"],
            "*",
            {"StringEquals": {_TAGGED: scope.cluster}},
        ),
    ]


def _never_absent(key: str) -> dict[str, Any]:
    """Return the condition that an action is called by one that makes something."""
    return {"Null": {key: "false"}}


def _allow(
    sid: str,
    actions: list[str],
    resources: str | list[str],
    condition: dict[str, Any] | None = None,
) -> Statement:
    statement = {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resources}
    return statement if condition is None else {**statement, "Condition": condition}
