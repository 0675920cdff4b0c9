"""Under a policy, a call needs its permission and all that depends on it."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from fargate_harness_account import Account

PREFIX = "arn:aws:ecs:us-east-1:123456789012"
ROLE = "arn:aws:iam::123456789012:role/execution"
PASS = {
    "Action": "iam:PassRole",
    "Resource": ROLE,
    "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
}


def only(account: Account, *statements: dict[str, Any]) -> None:
    """Allow only what the statements do."""
    base = {"Effect": "Allow", "Resource": "*"}
    account.harness.allow_only({"Statement": [base | statement for statement in statements]})


def refused(call: Any) -> str:
    """Return code and message of the error of a call."""
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def test_what_is_not_allowed_is_refused(account: Account) -> None:
    only(account, {"Action": "ecs:ListClusters"})
    assert account.ecs.list_clusters()
    words = refused(lambda: account.ecs.describe_clusters(clusters=["c"]))
    assert words == (
        "AccessDeniedException: User: arn:aws:sts::123456789012:user/moto is not authorized to "
        f"perform: ecs:DescribeClusters on resource: {PREFIX}:cluster/c because no identity-based "
        "policy allows the ecs:DescribeClusters action"
    )
    account.harness.allow_only(None)
    assert account.ecs.describe_clusters(clusters=["c"])


def test_each_service_refuses_in_its_own_words(account: Account) -> None:
    only(account)
    assert refused(account.ec2.describe_vpcs).startswith("UnauthorizedOperation: You are not")
    assert refused(account.iam.list_roles).startswith("AccessDenied: User: ")
    assert refused(account.ssm.describe_parameters).startswith("AccessDeniedException: User: ")
    caller = account.sts.get_caller_identity()
    assert caller["Arn"] == "arn:aws:sts::123456789012:user/moto"


def test_running_needs_the_cluster_the_role_and_the_tags(account: Account) -> None:
    definition = account.register(executionRoleArn=account.role)
    cluster = {"ArnEquals": {"ecs:cluster": f"{PREFIX}:cluster/c"}}
    run = {"Action": "ecs:RunTask", "Resource": f"{PREFIX}:task-definition/f:*"}
    run["Condition"] = cluster  # type: ignore[assignment]
    tag = {"Action": "ecs:TagResource", "Resource": f"{PREFIX}:task/c/*"}
    tag["Condition"] = {"StringEquals": {"ecs:CreateAction": "RunTask"}}  # type: ignore[assignment]
    tags = [{"key": "k", "value": "v"}]

    def start() -> None:
        account.run(definition, tags=tags)

    for missing, words in [
        (run, f"perform: ecs:RunTask on resource: {definition}"),
        (tag, f"perform: ecs:TagResource on resource: {PREFIX}:task/c/"),
        (PASS, f"perform: iam:PassRole on resource: {ROLE}"),
    ]:
        only(account, *[one for one in (run, tag, PASS) if one is not missing])
        assert words in refused(start)
    only(account, run, tag, PASS)
    start()
    account.harness.allow_only(None)
    account.ecs.create_cluster(clusterName="d")
    only(account, run, tag, PASS)
    assert "ecs:RunTask" in refused(lambda: account.run(definition, cluster="d"))


def test_registering_needs_the_role(account: Account) -> None:
    only(account, {"Action": "ecs:RegisterTaskDefinition"})
    account.register()
    assert "iam:PassRole" in refused(lambda: account.register(executionRoleArn=account.role))
    only(account, {"Action": "ecs:RegisterTaskDefinition"}, PASS)
    account.register(executionRoleArn=account.role)


def test_tags_of_resources_are_conditions(account: Account) -> None:
    mine, other = (account.start(tags=[{"key": "of", "value": one}]) for one in ("me", "you"))
    condition = {"StringEquals": {"aws:ResourceTag/of": "me"}}
    only(account, {"Action": ["ecs:StopTask", "ecs:DescribeTasks"], "Condition": condition})
    account.ecs.stop_task(cluster="c", task=mine)
    assert "ecs:StopTask" in refused(lambda: account.ecs.stop_task(cluster="c", task=other))


@pytest.mark.parametrize("allowed", [True, False])
def test_tags_of_requests_are_conditions(account: Account, allowed: bool) -> None:
    condition = {"StringEquals": {"aws:RequestTag/of": "me" if allowed else "you"}}
    only(
        account,
        {"Action": "ec2:CreateVpc"},
        {"Action": "ec2:CreateTags", "Condition": condition},
    )
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "of", "Value": "me"}]}]

    def create() -> None:
        account.ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tags)

    if allowed:
        create()
    else:
        assert "perform: ec2:CreateTags on resource: arn:aws:ec2:" in refused(create)


def test_networks_are_allowed_by_their_tags(account: Account) -> None:
    account.ec2.create_tags(Resources=[account.group], Tags=[{"Key": "of", "Value": "me"}])
    other = account.new_group("other")
    condition = {"StringEquals": {"aws:ResourceTag/of": "me"}}
    only(account, {"Action": "ec2:DeleteSecurityGroup", "Condition": condition})
    words = refused(lambda: account.ec2.delete_security_group(GroupId=other))
    assert f"security-group/{other}" in words
    account.ec2.delete_security_group(GroupId=account.group)


@pytest.mark.parametrize(
    ("service", "call", "arguments", "resource"),
    [
        ("ssm", "get_parameter", {"Name": "/a/b"}, "arn:aws:ssm:*:*:parameter/a/*"),
        (
            "ssm",
            "put_parameter",
            {"Name": "/a/c", "Value": "v", "Type": "String"},
            "arn:aws:ssm:*:*:parameter/a/*",
        ),
        (
            "secrets",
            "create_secret",
            {"Name": "a/c", "SecretString": "v"},
            "arn:aws:secretsmanager:*:*:secret:a/*",
        ),
        (
            "secrets",
            "get_secret_value",
            {"SecretId": "a/b"},
            "arn:aws:secretsmanager:*:*:secret:a/*",
        ),
        ("logs", "create_log_group", {"logGroupName": "/a/b"}, "arn:aws:logs:*:*:log-group:/a/*"),
        ("logs", "delete_log_group", {"logGroupName": "/a"}, "arn:aws:logs:*:*:log-group:/a:*"),
        ("iam", "get_role", {"RoleName": "execution"}, "arn:aws:iam::*:role/exec*"),
        ("iam", "delete_role", {"RoleName": "bare"}, "arn:aws:iam::*:role/bare"),
        ("ecs", "delete_cluster", {"cluster": "c"}, f"{PREFIX}:cluster/c"),
        ("ecs", "list_tags_for_resource", {"resourceArn": f"{PREFIX}:cluster/c"}, f"{PREFIX}:*/c"),
    ],
)
def test_resources_are_named_by_their_arns(
    account: Account, service: str, call: str, arguments: dict[str, Any], resource: str
) -> None:
    account.ssm.put_parameter(Name="/a/b", Value="v", Type="String")
    account.secrets.create_secret(Name="a/b", SecretString="v")
    account.logs.create_log_group(logGroupName="/a")
    account.new_role("bare", None)
    client = getattr(account, service)
    action = "".join(word.title() for word in call.split("_"))
    name = "secretsmanager" if service == "secrets" else service
    only(account, {"Action": f"{name}:{action}", "Resource": "arn:aws:nothing"})
    assert f"perform: {name}:{action}" in refused(lambda: getattr(client, call)(**arguments))
    only(account, {"Action": f"{name}:{action}", "Resource": resource})
    getattr(client, call)(**arguments)


def test_what_cannot_be_evaluated_is_said(account: Account) -> None:
    condition = {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}
    only(account, {"Action": "ecs:ListClusters", "Condition": condition})
    assert "does not evaluate the condition operator IpAddress" in refused(
        account.ecs.list_clusters
    )
