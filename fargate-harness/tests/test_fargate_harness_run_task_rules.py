"""RunTask refuses what AWS refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fargate_harness_account import TRUST, Account, policy


def refusal(account: Account, **changes: Any) -> str:
    """Return code and message of the error of a RunTask."""
    with pytest.raises(ClientError) as caught:
        account.run(**changes)
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


STRATEGY = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 11}, "InvalidParameterException: Number of instances"),
        ({"clientToken": "x" * 65}, "InvalidParameterException: clientToken"),
        ({"startedBy": "no spaces"}, "InvalidParameterException: startedBy"),
        ({"startedBy": "a" * 129}, "InvalidParameterException: startedBy"),
        ({"tags": [{"key": str(n), "value": ""} for n in range(51)]}, "maximum size of 50"),
        ({"tags": [{"key": "k" * 129, "value": ""}]}, "1 to 128"),
        ({"tags": [{"key": "k", "value": "v" * 257}]}, "at most 256"),
        ({"tags": [{"key": "k", "value": "a;b"}]}, "invalid characters"),
        ({"tags": [{"key": "aws:k", "value": ""}]}, "cannot start with 'aws:'"),
        ({"tags": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]}, "Duplicate"),
        ({"capacityProviderStrategy": STRATEGY}, "but not both"),
        ({"launchType": None}, "No Container Instances"),
        ({"launchType": "EC2"}, "No Container Instances"),
        ({"networkConfiguration": None}, "Network Configuration must be provided"),
        ({"cluster": "unknown"}, "ClusterNotFoundException: "),
        ({"taskDefinition": "unknown"}, "ClientException: TaskDefinition not found."),
        ({"overrides": {"cpu": "256", "memory": "4096"}}, "No Fargate configuration"),
        ({"overrides": {"containerOverrides": [{"name": "other"}]}}, "named other is not a cont"),
    ],
)
def test_a_broken_rule_is_an_error(account: Account, changes: dict[str, Any], words: str) -> None:
    assert words in refusal(account, **changes)
    assert account.harness.tasks() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"subnets": []}, "subnets can have a minimum"),
        ({"subnets": ["subnet-0"] * 17}, "maximum size of 16"),
        ({"subnets": ["subnet-0"]}, "InvalidSubnetID.NotFound"),
        ({"securityGroups": ["sg-0"]}, "InvalidGroup.NotFound"),
        ({"securityGroups": ["sg-0"] * 6}, "maximum size of 5"),
    ],
)
def test_a_wrong_network_is_an_error(account: Account, changes: dict[str, Any], words: str) -> None:
    assert words in refusal(account, networkConfiguration=account.network(**changes))


def test_groups_of_another_vpc_are_refused(account: Account) -> None:
    other = account.ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    network = account.network(securityGroups=[account.new_group("other", other)])
    assert "same VPC" in refusal(account, networkConfiguration=network)


def test_overrides_have_a_longest_length(account: Account) -> None:
    def overrides(length: int) -> dict[str, Any]:
        name = {"containerOverrides": [{"name": "main", "command": [""]}]}
        frame = len(json.dumps(name, separators=(",", ":")))
        name["containerOverrides"][0]["command"] = ["x" * (length - frame)]
        return name

    assert "at most 8192" in refusal(account, overrides=overrides(8193))
    assert account.run(overrides=overrides(8192))["tasks"]


def test_the_whole_alphabet_of_texts_is_allowed(account: Account) -> None:
    tags = [{"key": "aZ9 +-=._:/@ü", "value": "aZ9 +-=._:/@é"}]
    arn = account.start(tags=tags, startedBy="aZ9-/_")
    task = account.describe(arn)
    assert (task["tags"], task["startedBy"]) == (tags, "aZ9-/_")


def test_fargate_spot_needs_the_provider_in_the_cluster(account: Account) -> None:
    definition = account.register()
    spot = {"launchType": None, "capacityProviderStrategy": STRATEGY}
    assert account.run(definition, **spot)["tasks"][0]["capacityProviderName"] == "FARGATE_SPOT"
    account.ecs.create_cluster(clusterName="plain")
    assert "not associated with the cluster" in refusal(
        account, definition=definition, cluster="plain", **spot
    )


def test_a_strategy_shares_out_the_tasks(account: Account) -> None:
    strategy = [
        {"capacityProvider": "FARGATE", "base": 2, "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "weight": 3},
    ]
    answer = account.run(launchType=None, capacityProviderStrategy=strategy, count=10)
    providers = [task["capacityProviderName"] for task in answer["tasks"]]
    assert (providers.count("FARGATE"), providers.count("FARGATE_SPOT")) == (4, 6)


def test_an_inactive_definition_does_not_run(account: Account) -> None:
    definition = account.register()
    account.ecs.deregister_task_definition(taskDefinition=definition)
    assert refusal(account, definition=definition) == "ClientException: TaskDefinition is inactive"


@pytest.mark.parametrize("kind", ["executionRoleArn", "taskRoleArn"])
def test_a_role_must_exist_and_trust_the_tasks(account: Account, kind: str) -> None:
    other = json.loads(json.dumps(TRUST).replace("ecs-tasks", "ec2"))
    stranger = account.new_role("stranger", policy("s3:*"), other)
    for arn in (stranger, "arn:aws:iam::123456789012:role/nobody"):
        words = refusal(account, definition=account.register(**{kind: arn}))
        assert words.startswith(f"ClientException: ECS was unable to assume the role '{arn}'")
    assert account.run(account.register(**{kind: account.role}))["tasks"]


def test_conditions_of_a_trust_policy_count(account: Account) -> None:
    def trusting(number: str) -> dict[str, Any]:
        condition = {"StringEquals": {"aws:SourceAccount": number}}
        return {**TRUST, "Statement": [{**TRUST["Statement"][0], "Condition": condition}]}

    mine = account.new_role("mine", None, trusting("123456789012"))
    others = account.new_role("others", None, trusting("999999999999"))
    assert account.run(account.register(taskRoleArn=mine))["tasks"]
    assert "unable to assume" in refusal(account, definition=account.register(taskRoleArn=others))


def test_the_same_token_starts_nothing_twice(account: Account) -> None:
    definition = account.register()
    first = account.run(definition, clientToken="t", count=2)
    again = account.run(definition, clientToken="t", count=2)
    arns = [[task["taskArn"] for task in answer["tasks"]] for answer in (first, again)]
    assert arns[0] == arns[1]
    assert len(account.harness.tasks()) == 2
    words = refusal(account, definition=definition, clientToken="t", count=3)
    assert words.startswith("ConflictException: ")


def test_a_refused_call_does_not_use_up_its_token(account: Account) -> None:
    definition = account.register()
    account.harness.refuse_capacity(1)
    assert account.run(definition, clientToken="t")["failures"]
    assert account.run(definition, clientToken="t")["tasks"]
