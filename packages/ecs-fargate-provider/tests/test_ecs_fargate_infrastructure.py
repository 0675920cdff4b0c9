"""All that sessions share, together: made once, taken back after a failed start, and removed."""

from __future__ import annotations

from typing import Any

import pytest
from ecs_fargate_sessions import Session, changes

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.errors import AWSError, AWSTimeoutError, ResourceError
from dockerparallel_ecs_fargate_provider.infrastructure import Infrastructure
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.tags import INFRASTRUCTURE, MADE_BY, parsed
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig",)

MINE, PORT = "203.0.113.7/32", 6379
OPTIONS = Options(cluster_name="lab", stop_timeout=10.0)
# What `start` calls, each with how often; `test_every_call_of_a_start_is_failed_below` compares.
CALLS = {
    "DescribeVpcs": 2,
    "CreateVpc": 1,
    "DescribeSubnets": 2,
    "DescribeInternetGateways": 1,
    "DescribeRouteTables": 2,
    "ModifyVpcAttribute": 1,
    "DescribeAvailabilityZones": 1,
    "CreateSubnet": 3,
    "CreateInternetGateway": 1,
    "AttachInternetGateway": 1,
    "CreateRouteTable": 1,
    "CreateRoute": 1,
    "AssociateRouteTable": 3,
    "DescribeSecurityGroups": 1,
    "CreateSecurityGroup": 1,
    "AuthorizeSecurityGroupIngress": 2,
    "GetRole": 2,
    "CreateRole": 1,
    "GetRolePolicy": 1,
    "PutRolePolicy": 1,
    "DescribeLogGroups": 1,
    "CreateLogGroup": 1,
    "PutRetentionPolicy": 1,
    "DescribeClusters": 2,
    "CreateCluster": 1,
}


@pytest.fixture
def session(aws: AWS) -> Session:
    return Session(aws, OPTIONS)


def start(session: Session, logger: ClusterLogger) -> None:
    site = session.infrastructure.ensure(session.tags, logger)
    session.infrastructure.let_in(site, MINE, PORT, session.tags)


def test_every_call_of_a_start_is_failed_below(
    harness: FargateHarness, session: Session, logger: ClusterLogger
) -> None:
    assert session.made_by in session.tags.values()
    harness.clear_calls()
    start(session, logger)
    actions = [call.action for call in harness.calls()]
    assert {action: actions.count(action) for action in actions} == CALLS


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(
    ("action", "skip"),
    [(action, skip) for action, number in CALLS.items() for skip in range(number)],
)
def test_nothing_is_left_of_a_start_that_failed(
    harness: FargateHarness,
    session: Session,
    logger: ClusterLogger,
    action: str,
    skip: int,
    after_effect: bool,
) -> None:
    harness.fail(action, "ValidationError", "no", skip=skip, after_effect=after_effect)
    with pytest.raises(AWSError) as caught:
        start(session, logger)
    assert caught.value.code == "ValidationError"
    session.infrastructure.undo(session.made_by, logger)
    assert harness.left() == {}


@pytest.mark.parametrize(
    "action",
    [action for action in CALLS if action.startswith("Create") and action != "CreateRoute"],
)
def test_nothing_is_left_of_what_was_made_twice_since_an_answer_was_lost(
    harness: FargateHarness, session: Session, logger: ClusterLogger, action: str
) -> None:
    # boto3 repeats the call by itself.
    harness.fail(action, "InternalFailure", "lost", status=500, after_effect=True)
    start(session, logger)
    assert changes(harness).count(action) == CALLS[action] + 1
    session.infrastructure.undo(session.made_by, logger)
    assert harness.left() == {}


def test_all_there_is_found_again_by_few_reads(
    harness: FargateHarness, aws: AWS, session: Session, logger: ClusterLogger
) -> None:
    first = session.infrastructure.ensure(session.tags, logger)
    again = Session(aws, OPTIONS)
    harness.clear_calls()
    assert again.infrastructure.ensure(again.tags, logger) == first
    assert len(harness.calls()) == 9
    assert changes(harness) == []


def test_the_parts_are_ours_by_name_and_tags(
    harness: FargateHarness, session: Session, logger: ClusterLogger
) -> None:
    site = session.infrastructure.ensure(session.tags, logger)
    logs, ecs = harness.client("logs"), harness.client("ecs")
    assert (site.log_group, site.ecs_cluster) == ("/dockerparallel/lab", "lab")
    assert session.infrastructure.log_group_name == site.log_group
    (group,) = logs.describe_log_groups()["logGroups"]
    assert group["retentionInDays"] == 7
    found = [
        logs.list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*"))["tags"],
    ]
    (cluster,) = ecs.describe_clusters(clusters=["lab"], include=["TAGS"])["clusters"]
    assert sorted(cluster["capacityProviders"]) == ["FARGATE", "FARGATE_SPOT"]
    found.append(parsed(cluster["tags"]))
    for tags in found:
        assert (tags[INFRASTRUCTURE], tags[MADE_BY]) == ("lab", session.made_by)


def test_undo_leaves_what_another_session_has_made(
    harness: FargateHarness, aws: AWS, session: Session, logger: ClusterLogger
) -> None:
    site = session.infrastructure.ensure(session.tags, logger)
    before = harness.left()
    other = Session(aws, OPTIONS)
    start(other, logger)
    other.infrastructure.undo(other.made_by, logger)
    assert harness.left() == before
    # The rule was that of the other session.
    rules = harness.client("ec2").describe_security_groups(GroupIds=[site.security_group_id])
    assert not any(rule["IpRanges"] for rule in rules["SecurityGroups"][0]["IpPermissions"])


def test_remove_takes_what_all_sessions_have_made_and_may_be_called_again(
    harness: FargateHarness, aws: AWS, session: Session, logger: ClusterLogger
) -> None:
    start(session, logger)
    other = Session(aws, Options(cluster_name="lab-2"))
    start(other, logger)
    for _ in range(2):
        Session(aws, OPTIONS).infrastructure.remove(logger, 10.0)
        left = harness.left()
        assert left["log_groups"] == ["/dockerparallel/lab-2"]
        assert {kind: len(items) for kind, items in left.items()} == {
            "vpcs": 1,
            "subnets": 3,
            "internet_gateways": 1,
            "route_tables": 1,
            "security_groups": 1,
            "roles": 1,
            "log_groups": 1,
            "clusters": 1,
        }
    other.infrastructure.remove(None, 10.0)
    assert harness.left() == {}


def test_a_removed_ecs_cluster_is_made_anew(
    harness: FargateHarness, session: Session, logger: ClusterLogger
) -> None:
    start(session, logger)
    session.infrastructure.remove(logger, 10.0)
    start(session, logger)
    (cluster,) = harness.client("ecs").describe_clusters(clusters=["lab"])["clusters"]
    assert cluster["status"] == "ACTIVE"


def test_what_is_not_tagged_ours_is_used_and_stays(
    harness: FargateHarness, session: Session, logger: ClusterLogger
) -> None:
    harness.client("logs").create_log_group(logGroupName="/dockerparallel/lab")
    harness.client("ecs").create_cluster(clusterName="lab")
    harness.client("iam").create_role(
        RoleName="dockerparallel-lab-us-east-1", AssumeRolePolicyDocument="{}"
    )
    before = harness.left()
    site = session.infrastructure.ensure(session.tags, logger)
    assert site.execution_role_arn.endswith(":role/dockerparallel-lab-us-east-1")
    session.infrastructure.remove(logger, 10.0)
    session.infrastructure.undo(session.made_by, logger)
    assert harness.left() == before
    (group,) = harness.client("logs").describe_log_groups()["logGroups"]
    assert "retentionInDays" not in group
    policies = harness.client("iam").list_role_policies(RoleName="dockerparallel-lab-us-east-1")
    assert policies["PolicyNames"] == []


def test_a_log_group_of_a_session_that_died_gets_its_retention(
    harness: FargateHarness, aws: AWS, session: Session, logger: ClusterLogger
) -> None:
    harness.fail("PutRetentionPolicy", "ValidationError", "no")
    with pytest.raises(AWSError):
        start(session, logger)
    start(Session(aws, OPTIONS), logger)
    (group,) = harness.client("logs").describe_log_groups()["logGroups"]
    assert group["retentionInDays"] == 7


@pytest.mark.parametrize(
    ("action", "code", "words"),
    [
        ("CreateLogGroup", "OperationAbortedException", "another operation on the log group"),
        ("CreateLogGroup", "ResourceAlreadyExistsException", ""),
        ("CreateRole", "EntityAlreadyExists", ""),
        ("PutRolePolicy", "NoSuchEntity", "the new role"),
    ],
)
def test_sessions_that_make_the_same_at_the_same_time(
    harness: FargateHarness,
    session: Session,
    logger: ClusterLogger,
    caplog: pytest.LogCaptureFixture,
    action: str,
    code: str,
    words: str,
) -> None:
    harness.fail(action, code, "meanwhile", after_effect="Already" in code)
    start(session, logger)
    assert words in caplog.text
    session.infrastructure.remove(logger, 10.0)
    assert harness.left() == {}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "InvalidParameterException",
            "Unable to assume the service linked role. Please verify that it exists.",
        ),
        ("UpdateInProgressException", "busy"),
    ],
)
def test_the_first_ecs_cluster_of_an_account_waits_for_the_role_of_the_service(
    harness: FargateHarness,
    session: Session,
    logger: ClusterLogger,
    caplog: pytest.LogCaptureFixture,
    code: str,
    message: str,
) -> None:
    harness.fail("CreateCluster", code, message, times=2)
    start(session, logger)
    assert "Waiting for ECS to be able to make lab" in caplog.text


def test_an_ecs_cluster_that_cannot_be_made_is_told(
    harness: FargateHarness, aws: AWS, logger: ClusterLogger
) -> None:
    session = Session(aws, Options(cluster_name="lab", start_timeout=0.01))
    harness.fail(
        "CreateCluster", "InvalidParameterException", "the Service Linked Role", times=1000
    )
    with pytest.raises(AWSTimeoutError, match=r"0\.01 s for ECS to be able to make lab"):
        start(session, logger)


SPOT = Options(cluster_name="lab", spot=0.5)


def test_spot_capacity_is_added_to_a_cluster_of_ours(
    harness: FargateHarness, session: Session, aws: AWS, logger: ClusterLogger
) -> None:
    start(session, logger)
    ecs = harness.client("ecs")
    ecs.put_cluster_capacity_providers(
        cluster="lab",
        capacityProviders=["FARGATE"],
        defaultCapacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
    )
    harness.clear_calls()
    start(Session(aws, OPTIONS), logger)
    assert "PutClusterCapacityProviders" not in changes(harness)
    Infrastructure(aws, SPOT).verify()
    start(Session(aws, SPOT), logger)
    (cluster,) = ecs.describe_clusters(clusters=["lab"])["clusters"]
    assert sorted(cluster["capacityProviders"]) == ["FARGATE", "FARGATE_SPOT"]
    assert cluster["defaultCapacityProviderStrategy"][0]["capacityProvider"] == "FARGATE"


def test_spot_capacity_is_not_added_to_a_cluster_of_others(
    harness: FargateHarness, aws: AWS, logger: ClusterLogger
) -> None:
    harness.client("ecs").create_cluster(clusterName="lab", capacityProviders=["FARGATE"])
    session = Session(aws, SPOT)
    for attempt in (session.infrastructure.verify, lambda: start(session, logger)):
        with pytest.raises(ResourceError, match=r"spot=0\.5, but the ECS cluster.*FARGATE_SPOT"):
            attempt()
    harness.client("ecs").put_cluster_capacity_providers(
        cluster="lab",
        capacityProviders=["FARGATE", "FARGATE_SPOT"],
        defaultCapacityProviderStrategy=[],
    )
    session.infrastructure.verify()
    start(session, logger)


def test_verify_looks_at_nothing_where_nothing_is_given(
    harness: FargateHarness, session: Session
) -> None:
    session.infrastructure.verify()
    assert harness.calls() == []


def test_a_given_log_group_is_looked_at_and_stays(
    harness: FargateHarness, aws: AWS, logger: ClusterLogger
) -> None:
    session = Session(aws, Options(cluster_name="lab", log_group="theirs"))
    harness.client("logs").create_log_group(logGroupName="theirs-too")
    with pytest.raises(ResourceError, match="log_group='theirs' does not exist in us-east-1"):
        session.infrastructure.verify()
    harness.client("logs").create_log_group(logGroupName="theirs")
    session.infrastructure.verify()
    start(session, logger)
    assert session.infrastructure.log_group_name == "theirs"
    session.infrastructure.remove(logger, 10.0)
    assert harness.left() == {"log_groups": ["theirs", "theirs-too"]}


def given(harness: FargateHarness) -> dict[str, Any]:
    """Return options that give everything."""
    ec2, iam = harness.client("ec2"), harness.client("iam")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="theirs", Description="x", VpcId=vpc)["GroupId"]
    trust = (
        '{"Statement": {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}}'
    )
    role = iam.create_role(RoleName="theirs", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    harness.client("logs").create_log_group(logGroupName="theirs")
    return {
        "subnet_ids": (subnet,),
        "security_group_id": group,
        "execution_role_arn": role,
        "task_role_arn": role,
        "log_group": "theirs",
    }


def test_what_is_given_is_neither_made_nor_removed(
    harness: FargateHarness, aws: AWS, logger: ClusterLogger
) -> None:
    parts = given(harness)
    session = Session(aws, Options(cluster_name="lab", **parts))
    before = harness.left()
    harness.clear_calls()
    session.infrastructure.verify()
    site = session.infrastructure.ensure(session.tags, logger)
    assert site.subnet_ids == parts["subnet_ids"]
    assert site.security_group_id == parts["security_group_id"]
    assert site.execution_role_arn == parts["execution_role_arn"]
    assert site.log_group == "theirs"
    session.infrastructure.undo(session.made_by, logger)
    session.infrastructure.remove(logger, 10.0)
    assert changes(harness) == ["CreateCluster", "DeleteCluster"]
    assert harness.left() == before


def test_what_is_in_use_is_waited_for_and_nothing_else_touched_before(
    harness: FargateHarness,
    session: Session,
    logger: ClusterLogger,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start(session, logger)
    harness.clear_calls()
    harness.fail("DeleteSecurityGroup", "DependencyViolation", "used by eni-1", times=2)
    session.infrastructure.undo(session.made_by, logger)
    assert "Waiting for the network interfaces of stopped tasks" in caplog.text
    assert harness.left() == {}
    made = changes(harness)
    assert made.count("DeleteSecurityGroup") == 3
    first = made.index("DeleteSubnet")
    assert set(made[:first]) == {"RevokeSecurityGroupIngress", "DeleteSecurityGroup"}


def test_what_stays_in_use_is_told_and_everything_else_stays(
    harness: FargateHarness, session: Session, logger: ClusterLogger
) -> None:
    start(session, logger)
    before = harness.left()
    harness.fail("DeleteSecurityGroup", "DependencyViolation", "used by eni-1", times=1000)
    with pytest.raises(AWSTimeoutError, match=r"0\.01 s for the network interfaces.*used by eni-1"):
        session.infrastructure.remove(logger, 0.01)
    assert harness.left() == before


def test_a_network_interface_in_the_group_keeps_everything(
    harness: FargateHarness, session: Session, logger: ClusterLogger
) -> None:
    site = session.infrastructure.ensure(session.tags, logger)
    ec2 = harness.client("ec2")
    interface = ec2.create_network_interface(
        SubnetId=site.subnet_ids[0], Groups=[site.security_group_id]
    )["NetworkInterface"]["NetworkInterfaceId"]
    before = harness.left()
    with pytest.raises(AWSTimeoutError, match="network interfaces of stopped tasks to go"):
        session.infrastructure.remove(logger, 0.01)
    assert harness.left() == before
    ec2.delete_network_interface(NetworkInterfaceId=interface)
    session.infrastructure.remove(logger, 10.0)
    assert harness.left() == {}


def test_an_ecs_cluster_with_tasks_is_waited_for(
    harness: FargateHarness,
    session: Session,
    logger: ClusterLogger,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start(session, logger)
    harness.fail("DeleteCluster", "ClusterContainsTasksException", "tasks", times=2)
    session.infrastructure.remove(logger, 30.0)
    assert "Waiting for the tasks of the ECS cluster lab to stop" in caplog.text
    assert harness.left() == {}


@pytest.mark.parametrize(
    ("action", "left"),
    [
        ("RevokeSecurityGroupIngress", set()),
        ("DeleteSecurityGroup", {"security_groups"}),
        ("DeleteSubnet", {"subnets", "vpcs"}),
        ("DeleteRouteTable", {"route_tables", "vpcs"}),
        ("DetachInternetGateway", {"internet_gateways"}),
        ("DeleteInternetGateway", {"internet_gateways"}),
        ("DeleteVpc", {"vpcs"}),
        ("DeleteRolePolicy", {"roles"}),
        ("DeleteRole", {"roles"}),
        ("DeleteLogGroup", {"log_groups"}),
        ("DeleteCluster", {"clusters"}),
        ("DescribeSubnets", {"subnets", "vpcs"}),
        ("ListTagsForResource", {"log_groups"}),
    ],
)
def test_one_failure_does_not_keep_the_rest(
    harness: FargateHarness,
    session: Session,
    logger: ClusterLogger,
    action: str,
    left: set[str],
) -> None:
    start(session, logger)
    harness.fail(action, "ValidationError", "no")
    with pytest.raises(AWSError) as caught:
        session.infrastructure.remove(logger, 0.01)
    assert caught.value.code == "ValidationError"
    assert any(note.startswith("Not removed: ") for note in caught.value.__notes__)
    # What depends on it may stay with it: AWS refuses that, and moto does not in all cases.
    assert left <= set(harness.left()) <= left | {"vpcs", "route_tables"}
    session.infrastructure.remove(logger, 10.0)
    assert harness.left() == {}


def test_all_failures_are_told(
    harness: FargateHarness, session: Session, logger: ClusterLogger
) -> None:
    start(session, logger)
    harness.fail("DeleteRole", "ValidationError", "role")
    harness.fail("DeleteLogGroup", "ValidationError", "group")
    with pytest.raises(AWSError, match="iam:DeleteRole: ValidationError: role") as caught:
        session.infrastructure.remove(logger, 10.0)
    assert caught.value.__notes__[0] == "Not removed: execution role"
    assert "log group: AWS refused logs:DeleteLogGroup" in caught.value.__notes__[1]
