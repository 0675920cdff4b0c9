"""A scheduled job that ends forgotten clusters, with a policy for that and nothing else."""

from __future__ import annotations

import json

import pytest
from ecs_fargate_sessions import REGION
from ecs_fargate_tiny import ECS_CLUSTER, Account

from dockerparallel_ecs_fargate_provider import AWSPermissionError
from dockerparallel_ecs_fargate_provider.__main__ import main
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.leftovers import Leftovers
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.policy import gc_policy
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")

NUMBER = "123456789012"
OPTIONS = Options(cluster_name=ECS_CLUSTER)


def expired(account: Account, *names: str) -> Leftovers:
    """Start clusters that are forgotten at once, and return what their ECS cluster is seen by."""
    for name in names:
        account.started(name, 1, lifetime_hours=1e-9)
    aws = AWS(account.boto, REGION, account.harness.endpoint_url)
    return Leftovers(aws, OPTIONS)


def test_the_policy_is_enough_for_gc_and_for_nothing_else(
    account: Account, harness: FargateHarness
) -> None:
    leftovers = expired(account, "forgotten")
    harness.allow_only(gc_policy(OPTIONS, account=NUMBER, region=REGION))
    assert leftovers.gc() == ["forgotten"]
    with pytest.raises(AWSPermissionError, match="ssm:PutParameter"):
        account.started("another", 1)
    harness.allow_only(None)
    assert "parameters" not in harness.left()


@pytest.mark.parametrize("number", range(5))
def test_each_statement_of_the_policy_is_needed(
    account: Account, harness: FargateHarness, number: int
) -> None:
    leftovers = expired(account, "forgotten")
    policy = gc_policy(OPTIONS, account=NUMBER, region=REGION)
    assert len(policy["Statement"]) == 5
    del policy["Statement"][number]
    harness.allow_only(policy)
    with pytest.raises(AWSPermissionError):
        leftovers.gc()
    harness.allow_only(None)


def test_one_cluster_that_cannot_be_ended_keeps_none_of_the_others(
    account: Account, harness: FargateHarness
) -> None:
    leftovers = expired(account, "first", "second")
    harness.fail("StopTask", "ServerException", "no", service="ecs", times=2)
    with pytest.raises(Exception, match="ServerException") as caught:
        leftovers.gc()
    assert any("the cluster first" in note for note in caught.value.__notes__)
    assert [cluster.name for cluster in leftovers.clusters()] == ["first"]
    assert leftovers.gc() == ["first"]


@pytest.mark.parametrize(
    ("whose", "expected"),
    [
        ("session", "RunTasks"),
        ("cleanup", "RunTasks"),
        ("gc", "EndTasks"),
        ("execution-role", "logs:PutLogEvents"),
        ("execution-role-trust", "ecs-tasks.amazonaws.com"),
    ],
)
def test_each_policy_is_printed(
    whose: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--region", REGION, "policy", "--for", whose, "--account", NUMBER]) == 0
    printed = capsys.readouterr().out
    assert expected in printed
    assert json.loads(printed)["Version"] == "2012-10-17"
