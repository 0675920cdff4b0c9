"""The roles of tasks: ours with its policy, and those that a user gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ecs_fargate_sessions import Session, changes

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.errors import AWSError, AWSTimeoutError, ResourceError
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.policy import execution_role_policy, trust_policy
from dockerparallel_ecs_fargate_provider.role_policies import key_statement
from dockerparallel_ecs_fargate_provider.roles import Roles
from dockerparallel_fargate_harness import FargateHarness
from dockerparallel_fargate_harness.policy import evaluate

pytest_plugins = ("ecs_fargate_rig",)

NAME = "dockerparallel-lab-us-east-1"
ACCOUNT = "123456789012"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234"


@pytest.fixture
def iam(harness: FargateHarness) -> Any:
    return harness.client("iam")


def ensure(aws: AWS, logger: ClusterLogger, **options: Any) -> str:
    session = Session(aws, Options(cluster_name="lab", **options))
    return Roles(aws, session.options).ensure(session.tags, logger)


def inline(iam: Any) -> dict[str, Any]:
    (name,) = iam.list_role_policies(RoleName=NAME)["PolicyNames"]
    found: dict[str, Any] = iam.get_role_policy(RoleName=NAME, PolicyName=name)["PolicyDocument"]
    return found


def test_the_role_lets_ecs_of_this_account_assume_it(
    iam: Any, aws: AWS, logger: ClusterLogger
) -> None:
    assert ensure(aws, logger) == f"arn:aws:iam::{ACCOUNT}:role/{NAME}"
    trust = iam.get_role(RoleName=NAME)["Role"]["AssumeRolePolicyDocument"]
    assert trust == trust_policy(ACCOUNT)
    (statement,) = trust["Statement"]
    assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("ssm:GetParameters", "ssm:us-east-1:123456789012:parameter/dockerparallel/lab/a/b", True),
        ("ssm:GetParameters", "ssm:us-east-1:123456789012:parameter/dockerparallel/lab-2/a", False),
        ("ssm:GetParameters", "ssm:us-east-1:123456789012:parameter/other", False),
        ("ssm:PutParameter", "ssm:us-east-1:123456789012:parameter/dockerparallel/lab/a", False),
        (
            "secretsmanager:GetSecretValue",
            "secretsmanager:us-east-1:123456789012:secret:dockerparallel/lab/q/1-AbCdEf",
            True,
        ),
        (
            "secretsmanager:GetSecretValue",
            "secretsmanager:us-east-1:123456789012:secret:dockerparallel/lab-2/q-AbCdEf",
            False,
        ),
        (
            "logs:PutLogEvents",
            "logs:us-east-1:123456789012:log-group:/dockerparallel/lab:log-stream:x",
            True,
        ),
        (
            "logs:PutLogEvents",
            "logs:us-east-1:123456789012:log-group:/dockerparallel/lab-2:log-stream:x",
            False,
        ),
        ("logs:CreateLogGroup", "logs:us-east-1:123456789012:log-group:/dockerparallel/lab", False),
        ("ecr:GetAuthorizationToken", "*", True),
        ("ecr:BatchGetImage", "ecr:us-east-1:123456789012:repository/mine", True),
        ("ecr:BatchGetImage", "ecr:us-east-1:999999999999:repository/theirs", False),
        ("ecr:PutImage", "ecr:us-east-1:123456789012:repository/mine", False),
        ("kms:Decrypt", "kms:us-east-1:123456789012:key/1234", False),
        ("s3:GetObject", "s3:::bucket/key", False),
    ],
)
def test_what_the_role_allows(action: str, resource: str, allowed: bool) -> None:
    policy = execution_role_policy(
        cluster_name="lab", log_group="/dockerparallel/lab", account=ACCOUNT, region="us-east-1"
    )
    arn = resource if resource == "*" else f"arn:aws:{resource}"
    assert evaluate([policy], action, arn).allowed is allowed


@pytest.mark.parametrize(
    ("key", "resource", "condition"),
    [
        (KEY, KEY, None),
        ("1234", KEY, None),
        ("alias/mine", "arn:aws:kms:us-east-1:123456789012:key/*", "alias/mine"),
        ("arn:aws:kms:us-east-1:123456789012:alias/a/b", KEY[:-4] + "*", "alias/a/b"),
    ],
)
def test_a_key_is_named_as_iam_takes_it(key: str, resource: str, condition: str | None) -> None:
    statement = key_statement("Key", ["kms:Decrypt"], key, "aws", "us-east-1", ACCOUNT)
    assert statement["Resource"] == resource
    expected = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": condition}}
    assert statement.get("Condition") == (expected if condition else None)


def test_the_policy_is_renewed_only_where_it_differs(
    harness: FargateHarness, iam: Any, aws: AWS, logger: ClusterLogger
) -> None:
    ensure(aws, logger)
    first = inline(iam)
    harness.clear_calls()
    ensure(aws, logger)
    assert changes(harness) == []
    ensure(aws, logger, log_group="theirs", kms_key_id=KEY)
    second = inline(iam)
    assert second != first
    assert evaluate([second], "kms:Decrypt", KEY).allowed
    harness.clear_calls()
    ensure(aws, logger, log_group="theirs", kms_key_id=KEY)
    assert changes(harness) == []
    iam.delete_role_policy(RoleName=NAME, PolicyName="dockerparallel")
    ensure(aws, logger)
    assert inline(iam) == first


def test_a_new_role_is_waited_for(
    harness: FargateHarness,
    aws: AWS,
    logger: ClusterLogger,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The first reading is before it is made.
    harness.fail("GetRole", "NoSuchEntity", "not yet", skip=1, times=2)
    ensure(aws, logger)
    assert f"Waiting for the new role {NAME} to be known" in caplog.text


def test_a_role_that_never_appears_is_told(
    harness: FargateHarness, aws: AWS, logger: ClusterLogger
) -> None:
    harness.fail("GetRole", "NoSuchEntity", "not yet", times=1000)
    with pytest.raises(AWSTimeoutError, match=r"0\.01 s for the new role .*to be known"):
        ensure(aws, logger, start_timeout=0.01)


def test_a_role_to_which_someone_attached_a_policy_is_told(
    harness: FargateHarness, aws: AWS, logger: ClusterLogger
) -> None:
    ensure(aws, logger)
    harness.fail("DeleteRole", "DeleteConflict", "detach policies first")
    roles = Roles(aws, Options(cluster_name="lab"))
    with pytest.raises(AWSError, match="DeleteConflict: detach policies first"):
        roles.remove("dockerparallel:infrastructure", "lab")


TRUSTED = {
    "Effect": "Allow",
    "Principal": {"Service": ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"]},
}


@pytest.mark.parametrize("option", ["execution_role_arn", "task_role_arn"])
@pytest.mark.parametrize(
    ("statements", "fits"),
    [
        ([TRUSTED], True),
        (TRUSTED, True),
        ([{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}], True),
        ([{**TRUSTED, "Effect": "Deny"}], False),
        ([{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}], False),
        ([{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}], False),
        ([{"Effect": "Allow", "Principal": "*"}], False),
        ([], False),
    ],
)
def test_a_given_role_must_let_tasks_assume_it(
    harness: FargateHarness, iam: Any, aws: AWS, option: str, statements: Any, fits: bool
) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    role = iam.create_role(Path="/their/", RoleName="r", AssumeRolePolicyDocument=document)["Role"]
    roles = Roles(aws, Options(**{option: role["Arn"]}))
    if fits:
        roles.verify()
        return
    with pytest.raises(ResourceError, match=f"{option}=.*trust policy must allow sts:AssumeRole"):
        roles.verify()


def test_a_given_role_that_is_not_there_is_told(iam: Any, aws: AWS) -> None:
    iam.create_role(Path="/their/", RoleName="r", AssumeRolePolicyDocument="{}")
    for arn, words in (
        (f"arn:aws:iam::{ACCOUNT}:role/none", "none' does not exist: give a role that 'aws iam"),
        ("arn:aws:iam::999999999999:role/r", "is of account 999999999999, and the credentials"),
        (f"arn:aws:iam::{ACCOUNT}:role/r", f"did you mean 'arn:aws:iam::{ACCOUNT}:role/their/r'"),
    ):
        with pytest.raises(ResourceError, match=words):
            Roles(aws, Options(execution_role_arn=arn)).verify()


def test_a_given_role_that_cannot_be_read_passes(harness: FargateHarness, aws: AWS) -> None:
    roles = Roles(aws, Options(execution_role_arn=f"arn:aws:iam::{ACCOUNT}:role/r"))
    harness.fail("GetRole", "AccessDenied", "no")
    roles.verify()
    harness.fail("GetRole", "ValidationError", "no")
    with pytest.raises(AWSError, match="ValidationError"):
        roles.verify()


def test_the_longest_name_of_a_role_fits() -> None:
    aws = AWS(region="ap-southeast-7")
    assert len(Roles(aws, Options(cluster_name="x" * 32)).name) <= 64
