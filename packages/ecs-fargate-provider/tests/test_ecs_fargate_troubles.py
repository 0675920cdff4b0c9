"""What goes wrong is told once, with its cause and what to do, and without secrets."""

from __future__ import annotations

import json
import re
import time

import pytest
from ecs_fargate_tiny import (
    ECS_CLUSTER,
    PASSWORD,
    TOKEN,
    Account,
    deployment_of,
    running,
    wait_until,
)

from dockerparallel import DockerCluster, DockerParallelError, ServerNotRunningError
from dockerparallel_ecs_fargate_provider import (
    AWSTimeoutError,
    CapacityError,
    QuotaError,
    RoleError,
    TaskFailedError,
)
from dockerparallel_ecs_fargate_provider.stopping import wait_for_end
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")

SECONDS = 3600.0


def ended(harness: FargateHarness, arn: str) -> None:
    """Wait until a task has stopped."""
    wait_until(
        "the end of a task",
        lambda: any(task.arn == arn and task.status == "STOPPED" for task in harness.tasks()),
    )


def warnings(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING" and words in record.getMessage()
    ]


def told_at_a_look(cluster: DockerCluster, caplog: pytest.LogCaptureFixture, words: str) -> bool:
    """Look at the workers, and tell whether a warning was given."""
    cluster.worker_numbers()
    return bool(warnings(caplog, words))


def server_failure(cluster: DockerCluster) -> str:
    """Start a cluster whose server's task fails; return what is said."""
    with pytest.raises(DockerParallelError) as caught:
        cluster.start()
    assert isinstance(caught.value, TaskFailedError | ServerNotRunningError)
    return str(caught.value)


def test_the_quota_of_vcpus(account: Account, harness: FargateHarness) -> None:
    harness.change_settings(vcpu_quota=0)
    with pytest.raises(QuotaError, match=r"limit on the number of vCPUs.*L-3032A538") as caught:
        account.cluster().start()
    assert str(caught.value).count("L-3032A538") == 1
    assert harness.left() == {}


def test_no_capacity(account: Account, harness: FargateHarness) -> None:
    harness.refuse_capacity(1)
    with pytest.raises(CapacityError, match=r"Capacity is unavailable.*availability zones"):
        account.cluster().start()
    assert harness.left() == {}


def test_a_role_that_tasks_may_not_have(
    account: Account, harness: FargateHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = account.started(workers=1)
    iam = harness.client("iam")
    name = f"dockerparallel-{ECS_CLUSTER}-us-east-1"
    policy = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    policy["Statement"][0]["Principal"]["Service"] = "ec2.amazonaws.com"
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(policy))
    monkeypatch.setattr("dockerparallel_ecs_fargate_provider.launch._ROLE_SECONDS", 0.0)
    with pytest.raises(RoleError, match=f"role/{name}.*trust policy.*iam:PassRole"):
        cluster.set_worker_number(2)


def test_no_log_group(account: Account, harness: FargateHarness) -> None:
    account.started().stop()
    cluster = account.cluster()
    deployment_of(cluster).begin(cluster)
    deployment_of(cluster).site(cluster)
    harness.client("logs").delete_log_group(logGroupName=f"/dockerparallel/{ECS_CLUSTER}")
    said = server_failure(cluster)
    assert "log group" in said.lower()
    assert "leave log_group= out" in said
    assert account.tasks() == []
    assert account.parameters() == {}


def test_no_secret(
    account: Account, harness: FargateHarness, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = account.started(workers=1)
    running(cluster, 1)
    name = f"/dockerparallel/{ECS_CLUSTER}/slots/0/worker/TOKEN"
    harness.client("ssm").delete_parameter(Name=name)
    cluster.set_worker_number(2)
    wait_until("a warning", lambda: told_at_a_look(cluster, caplog, "has stopped"))
    (told,) = warnings(caplog, "has stopped")
    assert "worker/TOKEN" in told
    assert "Start the cluster again" in told
    running(cluster, 1)


def test_no_route(account: Account, harness: FargateHarness) -> None:
    ec2 = harness.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    before = harness.left()
    said = server_failure(account.cluster(subnet_ids=[subnet]))
    assert "no route" in said
    assert "tiny:1" in said
    assert "NAT gateway" in said
    assert harness.left() == before


def test_a_task_that_ends_by_itself(
    account: Account, harness: FargateHarness, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = account.started(workers=3)
    running(cluster, 3)
    first, second = cluster.state.provider.worker_names(cluster)[:2]
    logs = harness.client("logs")
    # What it has printed, secrets too.
    stream = f"dockerparallel/dockerparallel/{first.rpartition('/')[2]}"
    logs.put_log_events(
        logGroupName=f"/dockerparallel/{ECS_CLUSTER}",
        logStreamName=stream,
        logEvents=[
            {
                "timestamp": int(time.time() * 1000),
                "message": f"line {number} {PASSWORD} {TOKEN}",
            }
            for number in range(30)
        ],
    )
    caplog.clear()
    harness.kill(first)
    ended(harness, first)
    running(cluster, 2)
    (told,) = warnings(caplog, "has stopped")
    assert first.rpartition("/")[2] in told
    assert "exit code 137 (SIGKILL)" in told
    assert "worker_memory=" in told
    assert "line 29 [password] [TOKEN]" in told
    assert "line 10 " in told
    assert "line 9 " not in told
    assert PASSWORD not in caplog.text
    assert TOKEN not in caplog.text
    # Only once, and the next one for itself.
    cluster.worker_numbers()
    cluster.cloud_provider.cost()
    assert len(warnings(caplog, "has stopped")) == 1
    harness.kill(second)
    ended(harness, second)
    running(cluster, 1)
    assert len(warnings(caplog, "has stopped")) == 2
    cluster.update()
    running(cluster, 3)
    cluster.stop()
    # What the cluster itself ends is no news.
    assert len(warnings(caplog, "has stopped")) == 2


def test_tasks_that_end_alike_are_told_together(
    account: Account, harness: FargateHarness, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = account.started(workers=5)
    running(cluster, 5)
    names = cluster.state.provider.worker_names(cluster)
    deployment_of(cluster).book.refresh(now=True)
    with pytest.MonkeyPatch.context() as patch:
        # No look between the deaths.
        patch.setattr(deployment_of(cluster).book, "_next", float("inf"))
        for name in names[:4]:
            harness.kill(name)
            ended(harness, name)
    running(cluster, 1)
    (told,) = warnings(caplog, "has stopped")
    assert "3 more ended alike" in told


def test_a_task_that_has_vanished(
    account: Account,
    harness: FargateHarness,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = account.started(workers=2)
    running(cluster, 2)
    gone = cluster.state.provider.worker_names(cluster)[0]
    harness.vanish(gone)
    # ECS may not show at first what it has just started, so it counts for a while.
    deployment_of(cluster).book.refresh(now=True)
    assert cluster.worker_numbers().running == 2
    monkeypatch.setattr("dockerparallel_ecs_fargate_provider.book._GRACE_SECONDS", -1.0)
    running(cluster, 1)
    (told,) = warnings(caplog, "has gone")
    assert gone.rpartition("/")[2] in told
    cluster.update()
    running(cluster, 2)


def test_a_task_that_ecs_does_not_list_yet_is_no_dead_one(
    account: Account, harness: FargateHarness
) -> None:
    harness.change_settings(list_lag_seconds=SECONDS)
    cluster = account.started(workers=3)
    running(cluster, 3)
    cluster.update()
    assert len(account.tasks()) == 4
    cluster.set_worker_number(1)
    running(cluster, 1)
    cluster.stop()
    assert account.tasks() == []


def test_a_server_that_ends_before_it_has_an_address(
    account: Account, harness: FargateHarness
) -> None:
    harness.change_settings(provisioning_seconds=SECONDS)
    cluster = account.cluster()
    provider = cluster.state.provider
    asked = type(provider).server_address

    def stop_it(cluster: DockerCluster) -> object:
        (task,) = harness.tasks()
        harness.client("ecs").stop_task(cluster=ECS_CLUSTER, task=task.arn, reason="by hand")
        return asked(provider, cluster)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provider, "server_address", stop_it)
        with pytest.raises(TaskFailedError, match=r"UserInitiated\): by hand.*CloudTrail"):
            cluster.start()
    assert harness.left() == {}


def test_a_server_that_gets_no_address_in_time(account: Account, harness: FargateHarness) -> None:
    harness.change_settings(provisioning_seconds=SECONDS)
    cluster = account.cluster(start_timeout=0.01)
    with pytest.raises(AWSTimeoutError, match=r"no address within 0\.01 s.*start_timeout="):
        cluster.start()
    assert harness.left() == {}


def test_a_server_that_does_not_end_in_time(account: Account, harness: FargateHarness) -> None:
    cluster = account.started()
    server = cluster.cloud_provider.tasks()["server"]
    aws = deployment_of(cluster).aws
    with pytest.raises(AWSTimeoutError, match=r"task of it .*0 s later it is still .*RUNNING"):
        wait_for_end(aws, ECS_CLUSTER, server, what="it", timeout=0)


def test_a_server_that_dies_is_told_with_its_end(
    account: Account, harness: FargateHarness, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = account.started()
    server = cluster.cloud_provider.tasks()["server"]
    harness.kill(server)
    wait_until("the end of the server", lambda: not cluster.is_server_running())
    (told,) = warnings(caplog, "The server has stopped")
    assert "exit code 137" in told
    assert "server_memory=" in told
    cluster.stop()
    assert account.tasks() == []


def test_phases_are_told(
    account: Account, harness: FargateHarness, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = account.started(workers=0, cluster_options={"verbose": 1})
    harness.change_settings(provisioning_seconds=0.3, pulling_seconds=0.3)
    caplog.set_level("INFO", "dockerparallel")
    cluster.set_worker_number(4)
    running(cluster, 4)
    told = [record.getMessage() for record in caplog.records if "Workers: " in record.getMessage()]
    assert told[0].endswith("Workers: 4 provisioning.")
    assert told[-1].endswith("Workers: 4 running.")
    assert any(re.search(r"\d pulling", line) for line in told)
    # Nothing is told twice.
    assert len(told) == len(set(told))
