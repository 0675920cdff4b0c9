"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from ecs_fargate_tiny import ECS_CLUSTER, Account, running

from dockerparallel_ecs_fargate_provider import __version__
from dockerparallel_ecs_fargate_provider.__main__ import main
from dockerparallel_fargate_harness import FargateHarness
from dockerparallel_fargate_harness.running import environment_for

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Return a function that runs a command and returns its exit code, output and errors."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, text in environment_for(account.harness).items():
        monkeypatch.setenv(name, text)

    def called(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(["--cluster-name", ECS_CLUSTER, *arguments])
        except SystemExit as error:
            # Of argparse.
            code = int(error.code or 0)
        output, errors = capsys.readouterr()
        assert "Traceback" not in output + errors
        return code, output, errors

    return called


def rows(output: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines()]


def test_lists(account: Account, run: Run) -> None:
    assert run("list") == (0, "name  owner  server  workers  tasks  expires\n", "")
    assert rows(run("servers")[1]) == [["task", "cluster", "owner", "phase", "workers", "created"]]
    running(account.started("one", 2, per_task=2), 2)
    running(account.started("second", 1, spot=True), 1)
    code, output, errors = run("list")
    assert (code, errors) == (0, "")
    heads, first, second = rows(output)
    assert heads == ["name", "owner", "server", "workers", "tasks", "expires"]
    assert (first[0], *first[2:5]) == ("one", "running", "2", "2")
    assert (second[0], *second[2:5]) == ("second", "running", "1", "2")
    # In columns.
    assert (
        len(
            {
                line.index(word)
                for line, word in zip(
                    output.splitlines(), ("server", "running", "running"), strict=True
                )
            }
        )
        == 1
    )
    code, output, _ = run("workers")
    assert code == 0
    assert [(row[1], row[3], row[4], row[-1] == "Spot") for row in rows(output)[1:]] == [
        ("one", "running", "2", False),
        ("second", "running", "1", True),
    ]
    assert [row[1] for row in rows(run("servers", "second")[1])[1:]] == ["second"]
    assert rows(run("workers", "third")[1])[1:] == []


def test_ending(account: Account, harness: FargateHarness, run: Run) -> None:
    one = account.started("one", 2)
    account.started("two", 1, lifetime_hours=1e-6)
    (worker, *_) = one.state.provider.worker_handles()  # type: ignore[attr-defined]
    assert run("stop-tasks", worker) == (0, f"{worker}: told to end\n", "")
    code, output, errors = run("stop-tasks", worker, "nonsense")
    assert (code, output) == (2, "")
    assert f"stop-tasks: {worker}, nonsense is no task of DockerParallel" in errors
    assert "expired" in run("list")[1]
    assert run("gc") == (0, "ended 1 expired cluster(s): two\n", "")
    assert run("gc") == (0, "ended 0 expired cluster(s)\n", "")
    assert run("gc", "--deep")[0] == 0
    assert "vpcs" in harness.left()
    assert run("stop", "one") == (0, "one: ended 2 task(s) and removed its secrets\n", "")
    assert run("stop", "one") == (
        0,
        f"one: there is no cluster of this name in {ECS_CLUSTER}\n",
        "",
    )
    assert run("gc", "--deep") == (0, "ended 0 expired cluster(s)\n", "")
    assert harness.left() == {}


def test_the_policy(account: Account, harness: FargateHarness, run: Run) -> None:
    code, output, errors = run("policy", "--account", "123456789012")
    assert (code, errors) == (0, "")
    assert harness.calls() == []
    document = json.loads(output)
    assert f"parameter/dockerparallel/{ECS_CLUSTER}/" in output
    assert "ec2:CreateVpc" in output
    assert run("policy") == (0, output, "")
    given = [
        *("--subnet-ids", "subnet-1", "subnet-2", "--private", "--security-group-id", "sg-1"),
        *("--execution-role-arn", "arn:aws:iam::123456789012:role/theirs"),
        *("--task-role-arn", "arn:aws:iam::123456789012:role/theirs-too"),
        *("--log-group", "theirs", "--kms-key-id", "alias/theirs", "--spot", "0.5"),
    ]
    code, less, _ = run("policy", *given, "--partition", "aws-cn")
    assert code == 0
    assert len(json.loads(less)["Statement"]) < len(document["Statement"])
    for action in ("ec2:CreateVpc", "ec2:CreateSecurityGroup", "iam:CreateRole", "logs:Create"):
        assert action not in less
    assert "arn:aws-cn:ecs:" in less
    assert "kms:Decrypt" in less


def test_version_and_help(run: Run) -> None:
    assert run("--version") == (0, f"{__version__}\n", "")
    code, output, _ = run("--help")
    assert code == 0
    for command in ("list", "servers", "workers", "stop", "stop-tasks", "gc", "policy"):
        assert command in output
        assert run(command, "--help")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: command"),
        (["nonsense"], "invalid choice"),
        (["stop"], "required: name"),
        (["stop", "no name"], "job_queue_name"),
        (["workers", "-no name"], "unrecognized arguments|job_queue_name"),
        (["workers", "no name"], "job_queue_name"),
        (["stop-tasks"], "required: task"),
        (["stop-tasks", "0123"], "no task of DockerParallel"),
        (["--cluster-name", "no name", "list"], "cluster_name 'no name' cannot be used"),
        (["policy", "--spot", "2"], "spot must be"),
        (["policy", "--spot", "much"], "invalid float"),
        (["policy", "--private"], "assign_public_ip=False needs a network"),
        (["policy", "--task-role-arn", "theirs"], "no ARN of a role"),
        (["--region", "", "list"], "region"),
    ],
)
def test_wrong_input(run: Run, arguments: list[str], words: str) -> None:
    import re

    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    assert re.search(words, errors)


def test_failures_of_aws(
    account: Account, harness: FargateHarness, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in (["list"], ["gc"], ["stop", "queue"], ["servers"], ["stop-tasks", "x"]):
        harness.fail("ListTasks", "AccessDeniedException", "not authorized")
        code, output, errors = run(*arguments)
        assert (code, output) == (1, "")
        assert "AccessDeniedException" in errors
        assert f"{arguments[0]}: AWS refused ecs:ListTasks" in errors
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    code, output, errors = run("list")
    assert (code, output) == (1, "")
    assert "No AWS region is known" in errors
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    code, output, errors = run("--region", "us-east-1", "list")
    assert (code, output) == (1, "")
    assert "without credentials" in errors
