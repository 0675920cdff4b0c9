"""A whole life of a cluster under exactly the policy that is printed for its configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ecs_fargate_permissions import ACCOUNT, USER_ID
from ecs_fargate_sessions import REGION
from ecs_fargate_tiny import (
    ECS_CLUSTER,
    Account,
    TinyFargateContainer,
    counted,
    deployment_of,
    running,
    wait_until,
)

from dockerparallel import DockerCluster
from dockerparallel_ecs_fargate_provider import AWSError, AWSPermissionError
from dockerparallel_ecs_fargate_provider.policy import (
    execution_role_policy,
    policy_document,
    trust_policy,
)
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")

Give = Callable[[FargateHarness], dict[str, Any]]

# What AWS asks for besides the actions that are called.
IMPLIED = {
    "ec2:CreateTags",
    "ecs:TagResource",
    "iam:CreateServiceLinkedRole",
    "iam:PassRole",
    "iam:TagRole",
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "logs:TagResource",
    "secretsmanager:TagResource",
    "ssm:AddTagsToResource",
}
# Of accidents that this life has not: an ECS cluster of ours to which Spot is added, a network
# that was removed half-way.
SELDOM = {
    "ec2:DescribeSecurityGroupRules",
    "ec2:DisassociateRouteTable",
    "ecs:PutClusterCapacityProviders",
}


def nothing(harness: FargateHarness) -> dict[str, Any]:
    return {}


def spot(harness: FargateHarness) -> dict[str, Any]:
    return {"spot": 0.5, "tags": {"team": "physics"}}


def everything(harness: FargateHarness) -> dict[str, Any]:
    ec2, iam = harness.client("ec2"), harness.client("iam")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.0.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    for table in ec2.describe_route_tables()["RouteTables"]:
        if table["VpcId"] == vpc:
            ec2.create_route(
                RouteTableId=table["RouteTableId"],
                DestinationCidrBlock="0.0.0.0/0",
                GatewayId=gateway,
            )
    group = ec2.create_security_group(GroupName="theirs", Description="theirs", VpcId=vpc)[
        "GroupId"
    ]
    anyone = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[anyone])
    harness.client("logs").create_log_group(logGroupName="theirs")
    key = harness.client("kms").create_key()["KeyMetadata"]["KeyId"]
    arns = [
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust_policy(ACCOUNT)))[
            "Role"
        ]["Arn"]
        for name in ("theirs-execution", "theirs-task")
    ]
    policy = execution_role_policy(
        cluster_name=ECS_CLUSTER,
        log_group="theirs",
        account=ACCOUNT,
        region=REGION,
        kms_key_id=key,
    )
    iam.put_role_policy(
        RoleName="theirs-execution", PolicyName="theirs", PolicyDocument=json.dumps(policy)
    )
    return {
        "subnet_ids": [subnet],
        "vpc_id": vpc,
        "security_group_id": group,
        "execution_role_arn": arns[0],
        "task_role_arn": arns[1],
        "log_group": "theirs",
        "kms_key_id": key,
        "spot": 1.0,
    }


def hold(
    account: Account, cluster: DockerCluster, *, cleanup: bool = False, without: str = ""
) -> dict[str, Any]:
    """Hold every caller to the policy of a cluster's configuration; return it."""
    options = deployment_of(cluster).options
    policy = policy_document(options, account=ACCOUNT, region=REGION, cleanup=cleanup)
    for statement in policy["Statement"]:
        statement["Action"] = [one for one in statement["Action"] if one != without]
    policy["Statement"] = [one for one in policy["Statement"] if one["Action"]]
    account.harness.allow_only(json.loads(json.dumps(policy).replace("${aws:userid}", USER_ID)))
    return policy


def live(account: Account, options: dict[str, Any]) -> None:
    """Do all that a user can do with a cluster."""
    container = TinyFargateContainer(secrets={"TOKEN": "x"}, environment={"LONG": "x" * 9000})
    cluster = account.cluster(workers=2, container=container, **options)
    cluster.start()
    running(cluster, 2)
    cluster.set_worker_number(4)
    cluster.set_worker_number(3)
    other = account.cluster(**options)
    other.reconnect()
    running(other, 3)
    view = other.cloud_provider
    view.logs()
    view.logs("server", lines=10)
    view.shown_environment()
    view.cost()
    assert len(view.list_clusters()) == 1
    (worker, *_) = view.list_workers()
    view.stop_tasks(worker.id)
    running(other, 2)
    other.update()
    running(other, 3)
    other.stop()
    cluster.stop()
    cluster.start()
    assert view.remove_cluster("queue") == 4
    assert not view.gc()
    wait_until("the end of the server", lambda: not cluster.is_server_running())
    cluster.stop()


@pytest.mark.parametrize("give", [nothing, spot, everything])
def test_a_whole_life(account: Account, harness: FargateHarness, give: Give) -> None:
    options = give(harness)
    before = harness.left()
    policy = hold(account, account.cluster(**options))
    harness.clear_calls()
    live(account, options)
    other = account.cluster(container=TinyFargateContainer(image="tiny:3"), **options)
    harness.fail("RunTask", "ServerException", "no")
    with pytest.raises(AWSError):
        other.start()
    last = account.cluster(**options)
    hold(account, last, cleanup=True)
    last.cleanup(deep=True)
    assert harness.left() == before
    called = {f"{call.service}:{call.action}" for call in harness.calls()}
    refused = [call for call in harness.calls() if "AccessDenied" in str(call.error_code)]
    assert refused == []
    allowed = {action for one in policy["Statement"] for action in one["Action"]}
    assert called - {"sts:GetCallerIdentity", "ecs:ListTaskDefinitionFamilies"} <= allowed
    assert allowed - called - IMPLIED <= SELDOM


@pytest.mark.parametrize("give", [nothing, everything])
def test_the_start_of_another_user_is_out_of_reach(
    account: Account, harness: FargateHarness, give: Give
) -> None:
    options = give(harness)
    cluster = account.started(**options)
    parameters = account.parameters()
    policy = policy_document(deployment_of(cluster).options, account=ACCOUNT, region=REGION)
    somebody = json.dumps(policy).replace("${aws:userid}", "AIDASOMEBODYELSE")
    harness.allow_only(json.loads(somebody))
    with pytest.raises(AWSPermissionError, match="ssm:GetParameters"):
        account.cluster(**options).reconnect()
    harness.allow_only(None)
    assert account.parameters() == parameters
    running(cluster, 2)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("ecs:RunTask", "ecs:RunTask"),
        ("iam:PassRole", "iam:PassRole"),
        ("ssm:PutParameter", "ssm:PutParameter"),
        ("ecs:RegisterTaskDefinition", "ecs:RegisterTaskDefinition"),
        ("ec2:CreateVpc", "ec2:CreateVpc"),
        ("iam:CreateRole", "iam:CreateRole"),
    ],
)
def test_what_is_not_allowed_is_told_with_the_command_that_prints_the_policy(
    account: Account, harness: FargateHarness, action: str, words: str
) -> None:
    cluster = account.cluster()
    hold(account, cluster, without=action)
    with pytest.raises(AWSPermissionError, match=rf"{words}.*provider policy"):
        cluster.start()
    assert harness.left() == {}
    assert counted(harness)["RunTask"] <= 1
