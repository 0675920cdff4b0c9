"""Ordered faults hit the calls that they are for, and calls are recorded."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from fargate_harness_account import Account

from dockerparallel_fargate_harness import ControlError, FargateHarness, Settings


def code_of(call: object) -> str:
    """Return the code of the error that a call raises, or an empty text."""
    try:
        call()  # type: ignore[operator]
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_a_fault_hits_the_calls_after_those_it_skips(account: Account) -> None:
    account.harness.fail("ListClusters", "ServerException", "no", skip=1, times=2)
    codes = [code_of(account.ecs.list_clusters) for _ in range(4)]
    assert codes == ["", "ServerException", "ServerException", ""]


def test_a_fault_may_be_for_one_service(account: Account) -> None:
    account.harness.fail("*", "ServerException", "no", service="iam")
    assert code_of(account.ecs.list_clusters) == ""
    assert code_of(account.iam.list_roles) == "ServerException"


@pytest.mark.parametrize(
    ("service", "call"),
    [("ec2", "describe_vpcs"), ("iam", "list_roles"), ("sts", "get_caller_identity")],
)
def test_a_fault_speaks_the_language_of_its_service(
    account: Account, service: str, call: str
) -> None:
    account.harness.fail("*", "RequestLimitExceeded", "a <slow> & down", service=service)
    with pytest.raises(ClientError, match="a <slow> & down") as caught:
        getattr(getattr(account, service), call)()
    assert caught.value.response["Error"]["Code"] == "RequestLimitExceeded"


def test_a_lost_answer_leaves_its_effect(account: Account) -> None:
    definition = account.register()
    account.harness.fail("RunTask", "ServerException", "lost", status=500, after_effect=True)
    assert code_of(lambda: account.run(definition, clientToken="t")) == "ServerException"
    assert len(account.harness.tasks()) == 1
    assert account.run(definition, clientToken="t")["tasks"]
    assert len(account.harness.tasks()) == 1


def test_every_attempt_is_a_call(harness: FargateHarness) -> None:
    harness.throttle("ListClusters", times=2)
    harness.client("ecs").list_clusters()
    calls = harness.calls("ecs", "ListClusters")
    assert [call.status for call in calls] == [400, 400, 200]
    assert [call.error_code for call in calls] == ["ThrottlingException"] * 2 + [None]


def test_calls_hold_their_arguments(account: Account) -> None:
    account.harness.clear_calls()
    account.open(account.group, 80, "0.0.0.0/0")
    account.ssm.put_parameter(Name="/a", Value="secret", Type="String")
    account.iam.tag_role(RoleName="execution", Tags=[{"Key": "k", "Value": "v"}])
    assert [(call.service, call.action) for call in account.harness.calls()] == [
        ("ec2", "AuthorizeSecurityGroupIngress"),
        ("ssm", "PutParameter"),
        ("iam", "TagRole"),
    ]
    first, second, third = (call.parameters for call in account.harness.calls())
    assert first["IpPermissions"][0]["ToPort"] == 80
    assert first["IpPermissions"][0]["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]
    assert second == {"Name": "/a", "Value": "secret", "Type": "String"}
    assert third == {"RoleName": "execution", "Tags": [{"Key": "k", "Value": "v"}]}


def test_errors_of_moto_are_recorded_with_their_codes(account: Account) -> None:
    account.harness.clear_calls()
    for call in (
        lambda: account.iam.get_role(RoleName="nobody"),
        lambda: account.ec2.describe_subnets(SubnetIds=["subnet-0"]),
        lambda: account.ssm.get_parameter(Name="none"),
    ):
        code_of(call)
    codes = [call.error_code for call in account.harness.calls()]
    assert codes == ["NoSuchEntity", "InvalidSubnetID.NotFound", "ParameterNotFound"]


def test_capacity_is_refused_for_part_of_the_tasks(account: Account) -> None:
    account.harness.refuse_capacity(1, started=1)
    answer = account.run(count=3)
    assert (len(answer["tasks"]), len(answer["failures"])) == (1, 2)
    assert "Capacity is unavailable" in answer["failures"][0]["reason"]
    assert not account.run(count=3)["failures"]


def test_a_reset_makes_the_account_fresh(account: Account) -> None:
    harness = account.harness
    account.start()
    harness.fail("ListClusters", "ServerException", "no")
    harness.change_settings(vcpu_quota=1.0)
    harness.allow_only({"Statement": []})
    assert harness.left()["tasks"]
    harness.reset()
    assert (harness.left(), harness.calls(), harness.tasks()) == ({}, [], [])
    assert harness.settings() == Settings()
    assert account.ecs.list_clusters()["clusterArns"] == []


def test_what_is_left_is_named_by_kind(account: Account) -> None:
    account.register()
    account.ssm.put_parameter(Name="/a", Value="v", Type="String")
    account.secrets.create_secret(Name="s", SecretString="v")
    left = account.harness.left()
    assert {kind: len(names) for kind, names in left.items()} == {
        "clusters": 1,
        "internet_gateways": 1,
        "log_groups": 1,
        "parameters": 1,
        "roles": 1,
        "route_tables": 1,
        "secrets": 1,
        "security_groups": 1,
        "subnets": 2,
        "task_definitions": 1,
        "vpcs": 1,
    }


def test_wrong_settings_are_refused(harness: FargateHarness) -> None:
    with pytest.raises(ControlError, match="no setting 'speed'"):
        harness.change_settings(speed=1)
    with pytest.raises(ControlError, match="must be a number of at least 0"):
        harness.change_settings(pulling_seconds=-1)
    with pytest.raises(ControlError, match="no task"):
        harness.kill("arn:none")
