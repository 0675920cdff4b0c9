"""What is secret stands in no description, tag, override, log or text, and long values arrive."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from ecs_fargate_tiny import (
    ECS_CLUSTER,
    NOTE,
    PASSWORD,
    TOKEN,
    Account,
    TinyFargateContainer,
    counted,
    deployment_of,
    running,
)
from hypothesis import given
from hypothesis import strategies as st

from dockerparallel import DockerParallelError, InvalidValueError
from dockerparallel_ecs_fargate_provider.overrides import (
    LONGEST_OVERRIDES,
    overrides,
    split_environment,
)
from dockerparallel_ecs_fargate_provider.sizes import SIZES, FargateSize
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")

SECRETS = (PASSWORD, TOKEN, NOTE)


def shown(harness: FargateHarness) -> str:
    """Return all that the account shows to whoever may describe and list, but not read values."""
    ecs, ssm = harness.client("ecs"), harness.client("ssm")
    arns = ecs.list_task_definitions()["taskDefinitionArns"]
    tasks = [task.arn for task in harness.tasks()]
    parts: list[Any] = [
        ecs.describe_tasks(cluster=ECS_CLUSTER, tasks=tasks, include=["TAGS"]),
        ecs.describe_clusters(clusters=[ECS_CLUSTER], include=["TAGS", "SETTINGS"]),
        [ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"]) for arn in arns],
        ssm.describe_parameters(),
        harness.client("secretsmanager").list_secrets(),
        harness.client("ec2").describe_tags(),
        harness.client("ec2").describe_security_groups(),
        harness.client("logs").describe_log_groups(),
        harness.client("iam").get_role(RoleName=f"dockerparallel-{ECS_CLUSTER}-us-east-1"),
    ]
    for parameter in parts[3]["Parameters"]:
        parts.append(
            ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=parameter["Name"])
        )
        if parameter["Type"] == "String":
            # No secret for IAM either.
            parts.append(ssm.get_parameter(Name=parameter["Name"]))
    return json.dumps(parts, default=str)


def environment(harness: FargateHarness, role: str) -> dict[str, str]:
    """Return what a task of a role gets, its secrets read by their references."""
    ecs, ssm, manager = (harness.client(name) for name in ("ecs", "ssm", "secretsmanager"))
    (arn, *_) = [task.arn for task in harness.tasks() if task.tags["dockerparallel:role"] == role]
    (task,) = ecs.describe_tasks(cluster=ECS_CLUSTER, tasks=[arn])["tasks"]
    (own,) = task["overrides"]["containerOverrides"]
    found = {item["name"]: item["value"] for item in own["environment"]}
    definition = ecs.describe_task_definition(taskDefinition=task["taskDefinitionArn"])
    for item in definition["taskDefinition"]["containerDefinitions"][0]["secrets"]:
        where = item["valueFrom"]
        if ":secretsmanager:" in where:
            secret, key = ":".join(where.split(":")[:7]), where.split(":")[7]
            text = json.loads(manager.get_secret_value(SecretId=secret)["SecretString"])[key]
        else:
            name = where.partition(":parameter")[2]
            text = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        assert item["name"] not in found
        found[item["name"]] = text
    return found


def test_no_secret_is_shown(
    account: Account,
    harness: FargateHarness,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    # Those of botocore show what it sends; they are not ours, and off by default.
    logging.getLogger("botocore").setLevel(logging.INFO)
    cluster = account.cluster(cluster_options={"verbose": 2})
    cluster.start()
    running(cluster, 2)
    texts = [
        shown(harness),
        repr(cluster),
        repr(cluster.state.provider),
        repr(vars(cluster.state.provider)),
        repr(deployment_of(cluster).store.lease),
        "\n".join(cluster.cloud_provider.shown_environment()),
        str(cluster.cloud_provider.list_clusters()),
        str(cluster.cloud_provider.list_servers()),
    ]
    harness.fail("RunTask", "ServerException", "no")
    with pytest.raises(DockerParallelError) as caught:
        cluster.set_worker_number(3)
    texts += [str(caught.value), repr(caught.value)]
    other = account.cluster(cluster_options={"verbose": 2})
    other.reconnect()
    other.stop()
    texts += [caplog.text, *capfd.readouterr()]
    assert "COLOUR=green" in texts[5]
    assert "Calling AWS" in caplog.text
    for secret in SECRETS:
        assert [text for text in texts if secret in text] == []
    # It can be seen where something is.
    assert "slots/0/server/SERVER_PASSWORD" in texts[0]


def test_secrets_arrive_and_go(account: Account, harness: FargateHarness) -> None:
    cluster = account.started()
    assert environment(harness, "server") == {
        "PORT": str(account.port),
        "SERVER_PASSWORD": PASSWORD,
    }
    worker = environment(harness, "worker")
    assert worker.pop("SERVER").startswith("10.")
    assert worker == {
        "COLOUR": "green",
        "WORKERS": "1",
        "TOKEN": TOKEN,
        "SERVER_PASSWORD": PASSWORD,
    }
    kinds = {
        one["Name"]: one["Type"]
        for one in harness.client("ssm").describe_parameters()["Parameters"]
    }
    assert {name for name, kind in kinds.items() if kind == "String"} == {
        f"/dockerparallel/{ECS_CLUSTER}/clusters/queue",
        f"/dockerparallel/{ECS_CLUSTER}/slots/0/claim",
    }
    assert len(kinds) == 6
    cluster.stop()
    assert account.parameters() == {}


@pytest.mark.parametrize(
    "secret",
    ["", "x" * 4097, "{{ssm:other}}", "x" * 30_000, "é" * 2049],
    ids=["empty", "long", "braces", "very-long", "long-in-bytes"],
)
def test_secrets_that_no_parameter_can_be(
    account: Account, harness: FargateHarness, secret: str
) -> None:
    container = TinyFargateContainer(secrets={"TOKEN": secret}, max_worker_num=2)
    cluster = account.started(container=container)
    assert environment(harness, "worker")["TOKEN"] == secret
    assert not secret or secret not in shown(harness)
    cluster.set_worker_number(4)
    # Once for the cluster, not for each start of tasks.
    assert counted(harness)["CreateSecret"] == 1
    cluster.stop()
    assert "secrets" not in harness.left()
    assert account.parameters() == {}


def test_secrets_as_long_as_a_parameter_can_be(account: Account, harness: FargateHarness) -> None:
    secret = "x" * 4096
    account.started(container=TinyFargateContainer(secrets={"TOKEN": secret}))
    assert environment(harness, "worker")["TOKEN"] == secret
    assert counted(harness)["CreateSecret"] == 0


def test_a_long_environment(account: Account, harness: FargateHarness) -> None:
    words = {f"VARIABLE_{number}": f"{number}" * 300 for number in range(100, 200)}
    packages = [f"package-{number}==1.{number}.0" for number in range(1500)]
    container = TinyFargateContainer(environment=words, packages=packages)
    cluster = account.started(container=container)
    found = environment(harness, "worker")
    assert {name: found[name] for name in words} == words
    assert found["PACKAGES"].split("\n") == packages
    for task in account.tasks():
        assert len(json.dumps(task["overrides"])) <= LONGEST_OVERRIDES
    cluster.stop()
    assert "secrets" not in harness.left()
    # Another session has it all, too.
    again = account.started(container=container)
    other = account.cluster()
    other.reconnect()
    assert other.state.worker_container.environment == words
    assert other.state.worker_container.packages == packages  # type: ignore[attr-defined]
    again.stop()


def test_a_secret_of_the_name_of_a_variable_counts(
    account: Account, harness: FargateHarness
) -> None:
    container = TinyFargateContainer(secrets={"TOKEN": TOKEN}, environment={"TOKEN": "no secret"})
    account.started(container=container)
    assert environment(harness, "worker")["TOKEN"] == TOKEN


@pytest.mark.parametrize("where", ["environment", "secrets"])
def test_what_is_too_long_is_refused_before_anything_is_started(
    account: Account, harness: FargateHarness, where: str
) -> None:
    container = TinyFargateContainer(**{where: {"LONG": "x" * 65_537}})  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match=r"'LONG' takes 65\d+ bytes.* at most 65536"):
        account.cluster(container=container).start()
    assert harness.left() == {}
    assert counted(harness)["RunTask"] == 0


def test_a_long_command_is_refused(account: Account, harness: FargateHarness) -> None:
    container = TinyFargateContainer(command=["python", "-c", "x" * 9000])
    with pytest.raises(InvalidValueError, match=r"command of the container takes 90\d\d charact"):
        account.cluster(container=container).start()
    assert harness.left() == {}
    assert counted(harness)["RunTask"] == 0


def test_the_key_of_the_user_encrypts_all(account: Account, harness: FargateHarness) -> None:
    key = harness.client("kms").create_key()["KeyMetadata"]["KeyId"]
    container = TinyFargateContainer(secrets={"TOKEN": TOKEN, "LONG": "x" * 5000})
    account.started(container=container, kms_key_id=key)
    parameters = harness.client("ssm").describe_parameters()["Parameters"]
    assert {one.get("KeyId") for one in parameters if one["Type"] == "SecureString"} == {key}
    (secret,) = harness.client("secretsmanager").list_secrets()["SecretList"]
    assert secret["KmsKeyId"] == key
    role = harness.client("iam").get_role_policy(
        RoleName=f"dockerparallel-{ECS_CLUSTER}-us-east-1", PolicyName="dockerparallel"
    )
    assert f"key/{key}" in json.dumps(role["PolicyDocument"])


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=3000)
names = st.text(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ_"), min_size=1, max_size=60)


@given(
    environment=st.dictionaries(names, texts, max_size=40),
    command=st.none() | st.lists(st.text(max_size=200), max_size=5),
    size=st.sampled_from(SIZES),
)
def test_overrides_are_never_too_long(
    environment: dict[str, str], command: list[str] | None, size: FargateSize
) -> None:
    try:
        inside, outside = split_environment(command, environment)
    except InvalidValueError:
        assert len(json.dumps(command)) > LONGEST_OVERRIDES - 1024
        return
    assert {**inside, **outside} == environment
    assert len(inside) + len(outside) == len(environment)
    whole = json.dumps(overrides(size, command, inside))
    assert len(whole) <= LONGEST_OVERRIDES
    if outside:
        # No more than had to go: the next would not have fitted.
        shortest = min(outside, key=lambda name: (len(outside[name]), name))
        largest = FargateSize(16384, 122880)
        more = overrides(largest, command, {**inside, shortest: outside[shortest]})
        assert len(json.dumps(more)) > LONGEST_OVERRIDES - 1024
