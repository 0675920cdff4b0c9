"""Policy documents are evaluated as IAM evaluates them."""

from __future__ import annotations

from typing import Any

import pytest

from dockerparallel_fargate_harness.forms import parameters_of_form
from dockerparallel_fargate_harness.policy import evaluate, like

BUCKET = "arn:aws:s3:::b"


def document(**statement: Any) -> dict[str, Any]:
    """Return a document with one statement."""
    base = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    return {"Statement": base | statement}


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ({}, True),
        ({"Action": "S3:get*"}, True),
        ({"Action": ["s3:Put*", "s3:List*"]}, False),
        ({"Resource": ["arn:aws:s3:::?"]}, True),
        ({"Resource": "arn:aws:s3:::B"}, False),
        ({"Effect": "Deny"}, False),
    ],
)
def test_actions_and_resources_may_be_wild(statement: dict[str, Any], allowed: bool) -> None:
    assert evaluate([document(**statement)], "s3:GetObject", BUCKET).allowed is allowed


def test_not_action_and_not_resource_exclude() -> None:
    statement = {"Effect": "Allow", "NotAction": "s3:Put*", "NotResource": "arn:aws:s3:::c"}
    policy = [{"Statement": [statement]}]
    assert evaluate(policy, "s3:GetObject", BUCKET).allowed
    assert not evaluate(policy, "s3:PutObject", BUCKET).allowed
    assert not evaluate(policy, "s3:GetObject", "arn:aws:s3:::c").allowed


def test_a_deny_wins() -> None:
    verdict = evaluate([document(), document(Effect="Deny")], "s3:GetObject", BUCKET)
    assert (verdict.allowed, verdict.explicit_deny) == (False, True)


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"StringEquals": {"aws:RequestTag/k": "v"}}, True),
        ({"StringEquals": {"AWS:requesttag/K": ["x", "v"]}}, True),
        ({"StringEquals": {"aws:RequestTag/k": "V"}}, False),
        ({"StringNotEquals": {"aws:RequestTag/k": "x"}}, True),
        ({"StringNotEquals": {"aws:RequestTag/k": ["x", "v"]}}, False),
        ({"StringLike": {"aws:RequestTag/k": "?"}}, True),
        ({"ArnLike": {"ecs:cluster": "arn:aws:ecs:*:*:cluster/c*"}}, True),
        ({"ArnEquals": {"ecs:cluster": "arn:aws:ecs:r:1:cluster/d"}}, False),
        ({"StringEquals": {"aws:ResourceTag/none": "v"}}, False),
        ({"StringEqualsIfExists": {"aws:ResourceTag/none": "v"}}, True),
        ({"Null": {"aws:RequestTag/k": "false"}}, True),
        ({"Null": {"aws:RequestTag/k": "true"}}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["k", "l"]}}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["k"]}}, False),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["k"]}}, True),
        ({"StringEquals": {"aws:RequestTag/k": "v", "ecs:cluster": "no"}}, False),
    ],
)
def test_conditions_are_evaluated(condition: dict[str, Any], allowed: bool) -> None:
    context: dict[str, str | list[str]] = {
        "aws:RequestTag/k": "v",
        "aws:TagKeys": ["k", "l"],
        "ecs:cluster": "arn:aws:ecs:r:1:cluster/c",
    }
    verdict = evaluate([document(Condition=condition)], "s3:GetObject", BUCKET, context)
    assert verdict.allowed is allowed
    assert verdict.why == ""


@pytest.mark.parametrize(
    "condition",
    [
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        {"StringEquals": {"aws:ResourceTag/owner": "${aws:username}"}},
    ],
)
def test_what_is_not_evaluated_never_allows(condition: dict[str, Any]) -> None:
    allow, deny = (document(Condition=condition, Effect=one) for one in ("Allow", "Deny"))
    verdict = evaluate([allow], "s3:GetObject", BUCKET)
    assert not verdict.allowed
    assert "does not evaluate" in verdict.why
    assert not evaluate([document(), deny], "s3:GetObject", BUCKET).allowed


def test_a_pattern_has_two_wild_characters_only() -> None:
    assert like("a.*[x]?", "a.yy[x]z")
    assert not like("a.c", "abc")


def test_forms_become_the_arguments_of_boto3() -> None:
    form = {
        "Action": "CreateTags",
        "ResourceId.1": "vpc-1",
        "ResourceId.2": "subnet-1",
        "Tag.1.Key": "k",
        "Tag.1.Value": "",
        "DryRun": "false",
    }
    assert parameters_of_form("ec2", form) == {
        "DryRun": False,
        "Resources": ["vpc-1", "subnet-1"],
        "Tags": [{"Key": "k", "Value": ""}],
    }
    form = {"Action": "TagRole", "RoleName": "r", "Tags.member.1.Key": "k"}
    assert parameters_of_form("iam", form) == {"RoleName": "r", "Tags": [{"Key": "k"}]}
    assert parameters_of_form("iam", {"Action": "Unknown", "A.1": "b"}) == {"A.1": "b"}
