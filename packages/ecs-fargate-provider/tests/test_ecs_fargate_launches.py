"""Calls that fail, halve or lose their answer start no task twice, and leave none unknown."""

from __future__ import annotations

import pytest
from ecs_fargate_tiny import Account, counted, running

from dockerparallel import DockerCluster
from dockerparallel_ecs_fargate_provider import (
    AWSError,
    CapacityError,
    LaunchError,
    QuotaError,
    RoleError,
    ThrottledError,
)
from dockerparallel_ecs_fargate_provider.rate_limits import RUN_STOP, TokenBucket
from dockerparallel_fargate_harness import FargateHarness
from dockerparallel_fargate_harness.run_task import QUOTA_REASON

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")


@pytest.fixture
def serving(account: Account) -> DockerCluster:
    """Return a cluster with a server and no workers."""
    return account.started(workers=0)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let attempts follow each other at once, botocore's too."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def assert_known(account: Account, cluster: DockerCluster, tasks: int) -> None:
    """Check that the cluster knows all tasks that live, the server's among them."""
    assert set(cluster.cloud_provider.tasks().values()) == {
        task["taskArn"] for task in account.tasks()
    }
    assert len(account.tasks()) == tasks


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("number", "code", "words", "status"),
    [
        # Tried again by botocore, and by ourselves.
        (1, "InternalFailure", "lost", 500),
        (25, "InternalFailure", "lost", 500),
        (1, "ClientException", "Rate exceeded", 400),
    ],
)
def test_a_lost_answer_starts_no_task_twice(
    account: Account,
    harness: FargateHarness,
    serving: DockerCluster,
    number: int,
    code: str,
    words: str,
    status: int,
) -> None:
    harness.fail("RunTask", code, words, status=status, after_effect=True)
    serving.set_worker_number(number)
    assert_known(account, serving, number + 1)
    tokens = [call.parameters["clientToken"] for call in harness.calls("ecs", "RunTask")]
    # The server's, those of the batches, and one once more.
    assert len(tokens) == len(set(tokens)) + 1 == 1 + -(-number // 10) + 1


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ThrottlingException", "Rate exceeded"),
        ("ClientException", "Too many concurrent attempts to create a new revision"),
        ("ServerException", "Rate exceeded"),
    ],
)
@pytest.mark.parametrize("action", ["RunTask", "StopTask", "DescribeTasks"])
def test_throttling_is_waited_out(
    account: Account,
    harness: FargateHarness,
    serving: DockerCluster,
    action: str,
    code: str,
    words: str,
) -> None:
    harness.throttle(action, times=3, code=code, message=words)
    serving.set_worker_number(2)
    running(serving, 2)
    serving.set_worker_number(1)
    running(serving, 1)
    serving.stop()
    failed = [call for call in harness.calls(action=action) if call.error_code == code]
    assert len(failed) == 3
    assert account.tasks() == []


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    ("code", "words"),
    [("ThrottlingException", "Rate exceeded"), ("ClientException", "Rate exceeded")],
)
def test_throttling_without_end_is_told(
    account: Account, harness: FargateHarness, serving: DockerCluster, code: str, words: str
) -> None:
    harness.throttle("RunTask", times=1000, code=code, message=words)
    with pytest.raises(ThrottledError, match=r"ecs:RunTask.*Rate exceeded.*again and again"):
        serving.set_worker_number(1)
    # Ten attempts in all, whoever makes them.
    assert counted(harness)["RunTask"] == 1 + 10
    assert_known(account, serving, 1)


@pytest.mark.parametrize(
    ("reason", "kind", "advice"),
    [
        ("Capacity is unavailable at this time. Please try again later", CapacityError, "Try aga"),
        (QUOTA_REASON, QuotaError, "L-3032A538"),
        ("ECS was unable to assume the role 'arn:x' that was provided", RoleError, "trust policy"),
        ("RESOURCE:ENI", CapacityError, "Try again later"),
        ("AGENT", LaunchError, "Amazon ECS API failures messages"),
    ],
)
def test_a_refusal_on_200_is_an_error(
    account: Account,
    harness: FargateHarness,
    serving: DockerCluster,
    reason: str,
    kind: type[AWSError],
    advice: str,
) -> None:
    harness.refuse_capacity(1, reason, started=3)
    with pytest.raises(kind, match=f"{reason[:20]}.*{advice}") as caught:
        serving.set_worker_number(10)
    assert type(caught.value) is kind
    # What was started is known, counted, and kept when the user tries again.
    assert_known(account, serving, 1 + 3)
    serving.set_worker_number(10)
    assert_known(account, serving, 1 + 10)
    serving.stop()
    assert account.tasks() == []


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        ("ClientException", "ECS was unable to assume the role 'arn:x'", RoleError),
        ("ClientException", QUOTA_REASON, QuotaError),
        ("InvalidParameterException", "capacity provider FARGATE_SPOT is not there", LaunchError),
        ("AccessDeniedException", "User is not authorized to perform: ecs:RunTask", AWSError),
    ],
)
def test_a_refused_call_is_an_error(
    account: Account,
    harness: FargateHarness,
    serving: DockerCluster,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    words: str,
    kind: type[AWSError],
) -> None:
    monkeypatch.setattr("dockerparallel_ecs_fargate_provider.launch._ROLE_SECONDS", 0.0)
    harness.fail("RunTask", code, words, times=1000)
    with pytest.raises(kind, match=words) as caught:
        serving.set_worker_number(1)
    assert caught.value.code == code
    assert_known(account, serving, 1)


def test_a_role_that_is_new_is_waited_for(
    account: Account, harness: FargateHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockerparallel_ecs_fargate_provider.launch._PAUSE", 0.01)
    words = "ECS was unable to assume the role 'arn:x' that was provided for this task."
    harness.fail("RunTask", "ClientException", words, times=3)
    running(account.started(workers=1), 1)


def test_a_start_that_gets_a_part_of_its_workers_leaves_nothing(
    account: Account, harness: FargateHarness
) -> None:
    cluster = account.cluster(workers=35)
    harness.fail("RunTask", "ServerException", "no", skip=3)
    with pytest.raises(LaunchError, match="did not start the task: no"):
        cluster.start()
    assert counted(harness)["StopTask"] >= 1 + 20
    assert harness.left() == {}


def test_a_quota_for_a_part_of_the_workers(account: Account, harness: FargateHarness) -> None:
    cluster = account.cluster(workers=30)
    # A quarter for the server, and twelve workers of one.
    harness.change_settings(vcpu_quota=12.25)
    with pytest.raises(QuotaError, match="L-3032A538"):
        cluster.start()
    assert harness.left() == {}
    cluster.start_server()
    with pytest.raises(QuotaError):
        cluster.set_worker_number(30)
    assert_known(account, cluster, 13)
    assert sum(cluster.worker_numbers()[:2]) == 12


def test_after_throttling_the_account_is_taken_to_have_no_calls_left(
    serving: DockerCluster, harness: FargateHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    drained: list[str] = []
    monkeypatch.setattr(TokenBucket, "drain", lambda bucket: drained.append(bucket.name))
    harness.fail("RunTask", "ClientException", "Rate exceeded", service="ecs")
    serving.set_worker_number(1)
    running(serving, 1)
    assert drained == [RUN_STOP.name]
