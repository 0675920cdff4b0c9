"""The policy allows what the provider calls in a configuration, and nothing more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from ecs_fargate_permissions import ACCOUNT, USER_ID, Need, Permitted, arn, with_tags
from ecs_fargate_sessions import REGION, Session

import dockerparallel_ecs_fargate_provider
from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.errors import AWSError, AWSPermissionError
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.policy import LONGEST, policy_document
from dockerparallel_ecs_fargate_provider.tags import INFRASTRUCTURE, OWNER_ID
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig",)

# Called only where a subnet stays, since one that goes takes its association along.
SELDOM = {"ec2:DisassociateRouteTable"}

MINE, PORT = "203.0.113.7/32", 6379
# What AWS asks for besides the actions that are called.
IMPLIED = {
    "ec2:CreateTags",
    "ecs:TagResource",
    "iam:CreateServiceLinkedRole",
    "iam:PassRole",
    "iam:TagRole",
    "logs:TagResource",
    "secretsmanager:TagResource",
    "ssm:AddTagsToResource",
}
# For tasks and their values, which the infrastructure does not touch; tested by single needs.
FOR_TASKS = {
    "ClaimNames",
    "ListTasks",
    "MakeByName",
    "PassRoles",
    "ReadOwnParameters",
    "RunTasks",
    "WriteOwnParameters",
}

Give = Callable[[Any, Any, Any], dict[str, Any]]


def nothing(ec2: Any, iam: Any, logs: Any) -> dict[str, Any]:
    return {}


def network(ec2: Any, iam: Any, logs: Any) -> dict[str, Any]:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    return {"subnet_ids": (subnet,)}


def vpc(ec2: Any, iam: Any, logs: Any) -> dict[str, Any]:
    (default,) = ec2.describe_vpcs()["Vpcs"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=default["VpcId"])
    tables = ec2.describe_route_tables()["RouteTables"]
    ec2.create_route(
        RouteTableId=tables[0]["RouteTableId"],
        DestinationCidrBlock="0.0.0.0/0",
        GatewayId=gateway,
    )
    return {"vpc_id": default["VpcId"]}


def roles(ec2: Any, iam: Any, logs: Any) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}
    document = json.dumps({"Statement": [trust]})
    arns = [
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        for name in ("theirs-1", "theirs-2")
    ]
    return {"execution_role_arn": arns[0], "task_role_arn": arns[1]}


def everything(ec2: Any, iam: Any, logs: Any) -> dict[str, Any]:
    given = {**network(ec2, iam, logs), **roles(ec2, iam, logs)}
    (subnet,) = ec2.describe_subnets(SubnetIds=list(given["subnet_ids"]))["Subnets"]
    group = ec2.create_security_group(
        GroupName="theirs", Description="theirs", VpcId=subnet["VpcId"]
    )["GroupId"]
    anyone = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[anyone])
    logs.create_log_group(logGroupName="theirs")
    return {**given, "security_group_id": group, "log_group": "theirs"}


CONFIGURATIONS = [nothing, network, vpc, roles, everything]


def options_of(harness: FargateHarness, give: Give) -> Options:
    clients = [harness.client(name) for name in ("ec2", "iam", "logs")]
    return Options(cluster_name="lab", spot=0.5, **give(*clients))


def policy_of(options: Options, *, cleanup: bool = False) -> dict[str, Any]:
    return policy_document(options, account=ACCOUNT, region=REGION, cleanup=cleanup)


def live(harness: FargateHarness, session: Session, logger: ClusterLogger) -> None:
    """Do all that the infrastructure can do."""
    parts = session.infrastructure
    parts.verify()
    site = parts.ensure(session.tags, logger)
    harness.client("ecs").put_cluster_capacity_providers(
        cluster="lab", capacityProviders=["FARGATE"], defaultCapacityProviderStrategy=[]
    )
    assert parts.ensure(session.tags, logger) == site
    parts.let_in(site, MINE, PORT, session.tags)
    parts.shut_out(site)
    parts.let_in(site, MINE, PORT, session.tags)
    parts.undo(session.made_by, logger)
    parts.ensure(session.tags, logger)
    parts.remove(logger, 10.0)


@pytest.mark.parametrize("give", CONFIGURATIONS)
def test_the_policy_allows_all_that_is_called_and_no_statement_is_superfluous(
    harness: FargateHarness, boto: boto3.Session, logger: ClusterLogger, give: Give
) -> None:
    options = options_of(harness, give)
    before = harness.left()
    policy = policy_of(options)
    aws = Permitted(harness, boto, policy)
    live(harness, Session(aws, options), logger)
    assert harness.left() == before
    used = {need.action for need in aws.needs}
    for statement in policy["Statement"]:
        if statement["Sid"] in FOR_TASKS and not used & set(statement["Action"]):
            continue
        rest = [other for other in policy["Statement"] if other is not statement]
        refused = [need for need in aws.needs if not need.allowed_by({"Statement": rest})]
        assert refused, f"{statement['Sid']} is superfluous"
    for statement in policy["Statement"]:
        if statement["Sid"] in FOR_TASKS:
            continue
        for action in statement["Action"]:
            assert action in used | called() | IMPLIED | SELDOM, action


def held_to(harness: FargateHarness, policy: Mapping[str, Any]) -> None:
    """Have the harness hold every caller to a policy, in the words of AWS's own variables."""
    harness.allow_only(json.loads(json.dumps(policy).replace("${aws:userid}", USER_ID)))


@pytest.mark.parametrize("give", CONFIGURATIONS)
def test_aws_as_the_harness_plays_it_allows_all_that_is_called(
    harness: FargateHarness, aws: AWS, logger: ClusterLogger, give: Give
) -> None:
    options = options_of(harness, give)
    before = harness.left()
    held_to(harness, policy_of(options))
    live(harness, Session(aws, options), logger)
    assert harness.left() == before


@pytest.mark.parametrize(
    "sid",
    [
        "Make",
        "MakeByName",
        "Remove",
        "See",
        "TagInEC2",
        "TagInECS",
        "UseNetwork",
        "UseWhatIsShared",
    ],
)
def test_aws_as_the_harness_plays_it_needs_each_statement(
    harness: FargateHarness, aws: AWS, logger: ClusterLogger, sid: str
) -> None:
    options = options_of(harness, nothing)
    policy = policy_of(options)
    rest = [statement for statement in policy["Statement"] if statement["Sid"] != sid]
    assert len(rest) == len(policy["Statement"]) - 1
    held_to(harness, {**policy, "Statement": rest})
    with pytest.raises(AWSPermissionError, match="not authorized to perform"):
        live(harness, Session(aws, options), logger)


def called() -> set[str]:
    """Return the actions that stand in the code of the provider beside their service."""
    folder = Path(dockerparallel_ecs_fargate_provider.__file__).parent
    pattern = re.compile(r'"(ecs|ec2|iam|logs|secretsmanager|ssm)",\s*"([A-Z][A-Za-z]+)"')
    return {
        f"{service}:{action}"
        for path in folder.glob("*.py")
        for service, action in pattern.findall(path.read_text())
    }


def actions_of(policy: Mapping[str, Any]) -> set[str]:
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def test_all_that_stands_in_the_code_is_in_the_policy() -> None:
    assert {"ecs:RunTask", "ssm:PutParameter", "iam:CreateRole"} <= called()
    allowed = actions_of(policy_of(Options(spot=1.0), cleanup=True))
    assert called() - allowed == set()


@pytest.mark.parametrize(
    ("action", "service"),
    [("CreateVpc", "ec2"), ("DeleteVpc", "ec2"), ("PutRolePolicy", "iam")],
)
def test_without_an_action_the_call_is_refused(
    harness: FargateHarness, boto: boto3.Session, logger: ClusterLogger, action: str, service: str
) -> None:
    options = options_of(harness, nothing)
    policy = policy_of(options)
    for statement in policy["Statement"]:
        statement["Action"] = [one for one in statement["Action"] if one != f"{service}:{action}"]
    with pytest.raises(AWSPermissionError, match=f"{service}:{action}"):
        live(harness, Session(Permitted(harness, boto, policy), options), logger)


@pytest.mark.parametrize(
    ("give", "absent"),
    [
        (
            network,
            ["CreateVpc", "DeleteVpc", "CreateSubnet", "CreateRoute", "DescribeVpcs", "AttachInt"],
        ),
        (roles, ["iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRole", "iam:TagRole"]),
        (
            everything,
            ["ec2:Create", "ec2:Delete", "ec2:Authorize", "iam:Create(?!Service)", "logs:Create"],
        ),
    ],
)
def test_what_is_given_needs_no_permission_to_make_it(
    harness: FargateHarness, give: Give, absent: list[str]
) -> None:
    allowed = actions_of(policy_of(options_of(harness, give), cleanup=True))
    for pattern in absent:
        assert not [action for action in allowed if re.search(pattern, action)]


def test_cleanup_is_for_what_others_have_made(
    harness: FargateHarness, boto: boto3.Session, aws: AWS, logger: ClusterLogger
) -> None:
    options = Options(cluster_name="lab")
    other = Session(aws, options)
    tags = {**other.tags, OWNER_ID: "SOMEBODY"}
    other.infrastructure.ensure(tags, logger)
    before = harness.left()
    mine = Session(Permitted(harness, boto, policy_of(options)), options)
    with pytest.raises(AWSPermissionError):
        mine.infrastructure.remove(logger, 10.0)
    assert harness.left() == before
    manager = Session(Permitted(harness, boto, policy_of(options, cleanup=True)), options)
    manager.infrastructure.remove(logger, 10.0)
    assert harness.left() == {}


def test_things_of_the_user_are_out_of_reach(
    harness: FargateHarness, boto: boto3.Session, logger: ClusterLogger
) -> None:
    options = Options(cluster_name="lab")
    aws = Permitted(harness, boto, policy_of(options, cleanup=True))
    (default,) = harness.client("ec2").describe_vpcs()["Vpcs"]
    tags = Session(aws, options).tags
    specification = [{"ResourceType": "subnet", "Tags": [{"Key": INFRASTRUCTURE, "Value": "lab"}]}]
    assert tags[INFRASTRUCTURE] == "lab"
    for action, more in (
        ("DeleteVpc", {}),
        ("ModifyVpcAttribute", {"EnableDnsHostnames": {"Value": True}}),
        ("CreateSubnet", {"CidrBlock": "172.31.99.0/24", "TagSpecifications": specification}),
    ):
        with pytest.raises(AWSError, match="not allowed"):
            aws.call("ec2", action, VpcId=default["VpcId"], **more)


DEFINITION = arn("ecs", "task-definition/dockerparallel-lab-abc:1")
TASK = arn("ecs", "task/lab/1")
HERE = {"ecs:cluster": arn("ecs", "cluster/lab")}
THERE = {"ecs:cluster": arn("ecs", "cluster/other")}
NEW = with_tags("RequestTag", {INFRASTRUCTURE: "lab", OWNER_ID: USER_ID})
OWN = with_tags("ResourceTag", {INFRASTRUCTURE: "lab", OWNER_ID: USER_ID})
THEIRS = with_tags("ResourceTag", {INFRASTRUCTURE: "lab", OWNER_ID: "SOMEBODY"})
ROLE = f"arn:aws:iam::{ACCOUNT}:role/dockerparallel-lab-{REGION}"
PATH = arn("ssm", "parameter/dockerparallel/lab/")
SECRET = arn("secretsmanager", "secret:dockerparallel/lab/queue/1-AbCdEf")
LOGS = arn("logs", "log-group:/dockerparallel/lab:log-stream:task/1")
TO_TASKS = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}


@pytest.mark.parametrize(
    ("action", "resource", "context", "allowed"),
    [
        ("ecs:RunTask", DEFINITION, {**HERE, **NEW}, True),
        ("ecs:RunTask", DEFINITION, {**THERE, **NEW}, False),
        ("ecs:RunTask", DEFINITION, HERE, False),
        ("ecs:RunTask", arn("ecs", "task-definition/theirs:1"), {**HERE, **NEW}, False),
        ("ecs:TagResource", TASK, {"ecs:CreateAction": "RunTask", **NEW}, True),
        ("ecs:TagResource", TASK, NEW, False),
        ("ecs:StopTask", TASK, HERE, True),
        ("ecs:StopTask", arn("ecs", "task/other/1"), THERE, False),
        ("ecs:DescribeTasks", TASK, HERE, True),
        ("ecs:DescribeTasks", arn("ecs", "task/lab-2/1"), {}, False),
        ("ecs:ListTasks", "*", HERE, True),
        ("ecs:ListTasks", "*", THERE, False),
        ("ecs:RegisterTaskDefinition", "*", NEW, True),
        ("ecs:RegisterTaskDefinition", "*", {}, False),
        ("ecs:DeleteCluster", arn("ecs", "cluster/lab"), OWN, True),
        ("ecs:DeleteCluster", arn("ecs", "cluster/lab"), THEIRS, False),
        ("iam:PassRole", ROLE, TO_TASKS, True),
        ("iam:PassRole", ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}, False),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", TO_TASKS, False),
        ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/admin", NEW, False),
        ("iam:CreateServiceLinkedRole", "*", {"iam:AWSServiceName": "rds.amazonaws.com"}, False),
        ("ssm:PutParameter", f"{PATH}slots/0/server/PASSWORD", NEW, True),
        ("ssm:PutParameter", f"{PATH}slots/0/server/PASSWORD", OWN, True),
        ("ssm:PutParameter", f"{PATH}slots/0/server/PASSWORD", THEIRS, False),
        ("ssm:PutParameter", arn("ssm", "parameter/dockerparallel/lab-2/x"), NEW, False),
        ("ssm:AddTagsToResource", f"{PATH}slots/0/server/PASSWORD", NEW, True),
        ("ssm:AddTagsToResource", f"{PATH}slots/0/server/PASSWORD", {**NEW, **THEIRS}, False),
        ("ssm:GetParameters", f"{PATH}slots/0/server/PASSWORD", OWN, True),
        ("ssm:GetParameters", f"{PATH}slots/0/server/PASSWORD", THEIRS, False),
        ("ssm:GetParameters", f"{PATH}slots/0/server/PASSWORD", {}, False),
        ("ssm:GetParameters", f"{PATH}clusters/queue", THEIRS, True),
        ("ssm:GetParameters", f"{PATH}clusters/queue", {}, True),
        # A claim of another must be found to exist, not be refused.
        ("ssm:PutParameter", f"{PATH}slots/0/claim", {**NEW, **THEIRS}, True),
        ("ssm:DeleteParameters", f"{PATH}slots/0/server/PASSWORD", OWN, True),
        ("ssm:DeleteParameters", f"{PATH}slots/0/server/PASSWORD", THEIRS, False),
        ("secretsmanager:CreateSecret", SECRET, NEW, True),
        ("secretsmanager:TagResource", SECRET, NEW, True),
        ("secretsmanager:CreateSecret", SECRET, {}, False),
        ("secretsmanager:CreateSecret", SECRET.replace("lab", "lab-2"), NEW, False),
        ("secretsmanager:DeleteSecret", SECRET, OWN, True),
        ("secretsmanager:DeleteSecret", SECRET, THEIRS, False),
        ("secretsmanager:GetSecretValue", SECRET, OWN, False),
        ("logs:GetLogEvents", LOGS, {}, True),
        ("logs:GetLogEvents", LOGS.replace("lab", "lab-2"), {}, False),
        ("ec2:DescribeNetworkInterfaces", "*", {}, True),
        ("ec2:CreateVpc", arn("ec2", "vpc/*"), {**NEW, "aws:RequestedRegion": "eu-west-1"}, False),
        ("ec2:CreateTags", arn("ec2", "vpc/vpc-1"), NEW, False),
        ("ec2:RunInstances", "*", NEW, False),
        ("kms:Decrypt", arn("kms", "key/1"), {"kms:ViaService": "ssm.us-east-1"}, False),
    ],
)
def test_single_needs(action: str, resource: str, context: dict[str, str], allowed: bool) -> None:
    policy = policy_of(Options(cluster_name="lab"))
    assert Need(action, resource, context).allowed_by(policy) is allowed


def test_cleanup_lets_values_of_others_be_removed_and_not_read() -> None:
    policy = policy_of(Options(cluster_name="lab"), cleanup=True)
    name = f"{PATH}slots/0/server/PASSWORD"
    assert Need("ssm:DeleteParameters", name, THEIRS).allowed_by(policy)
    assert Need("ecs:ListTaskDefinitionFamilies", "*", {}).allowed_by(policy)
    assert not Need("ssm:GetParameters", name, THEIRS).allowed_by(policy)
    assert not Need("ssm:DeleteParameters", name, {}).allowed_by(policy)


@pytest.mark.parametrize("key", ["1", arn("kms", "key/1")])
def test_a_key_is_used_by_way_of_its_services_only(key: str) -> None:
    policy = policy_of(Options(cluster_name="lab", kms_key_id=key))
    for action in ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"):
        for via, allowed in (("ssm", True), ("secretsmanager", True), ("s3", False)):
            context = {"kms:ViaService": f"{via}.{REGION}.amazonaws.com"}
            need = Need(action, arn("kms", "key/1"), context)
            assert need.allowed_by(policy) is allowed
            assert not need._replace(resource=arn("kms", "key/2")).allowed_by(policy)


def test_a_policy_in_another_partition() -> None:
    policy = policy_document(Options(), account=ACCOUNT, region="cn-north-1", partition="aws-cn")
    text = json.dumps(policy)
    assert "arn:aws-cn:ssm:cn-north-1:" in text
    assert "arn:aws:" not in text


@pytest.mark.parametrize("cleanup", [False, True])
@pytest.mark.parametrize("give", ["nothing", "much"])
def test_the_policy_is_within_the_limit_of_iam(give: str, cleanup: bool) -> None:
    much = {
        "cluster_name": "x" * 32,
        "spot": 1.0,
        "task_role_arn": f"arn:aws:iam::{ACCOUNT}:role/{'r' * 64}",
        "kms_key_id": f"arn:aws:kms:ap-southeast-7:{ACCOUNT}:key/{'k' * 36}",
    }
    given: dict[str, Any] = much if give == "much" else {}
    policy = policy_document(
        Options(**given), account=ACCOUNT, region="ap-southeast-7", cleanup=cleanup
    )
    assert len(re.sub(r"\s", "", json.dumps(policy))) <= LONGEST
    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids)
