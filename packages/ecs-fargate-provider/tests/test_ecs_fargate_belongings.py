"""Everything says whose it is, is found again by that, and nothing else is touched."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ecs_fargate_tiny import (
    ECS_CLUSTER,
    Account,
    TinyFargateContainer,
    counted,
    deployment_of,
    running,
)

from dockerparallel import (
    ClusterExistsError,
    DockerCluster,
    InvalidTypeError,
    InvalidValueError,
    StaticDataError,
)
from dockerparallel_ecs_fargate_provider import tags
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")

THEIRS = {"team": "physics", "cost centre": "7 @home"}
ROOT = f"/dockerparallel/{ECS_CLUSTER}"


def all_tags(harness: FargateHarness) -> dict[str, dict[str, str]]:
    """Return the tags of everything that there is beyond a fresh account."""
    ecs, ec2, iam, logs, ssm, manager = (
        harness.client(name) for name in ("ecs", "ec2", "iam", "logs", "ssm", "secretsmanager")
    )
    found: dict[str, Any] = {}
    for kind, identifiers in harness.left().items():
        for one in identifiers:
            if kind in {"tasks", "clusters", "task_definitions"}:
                found[one] = ecs.list_tags_for_resource(resourceArn=one)["tags"]
            elif kind == "roles":
                found[one] = iam.list_role_tags(RoleName=one)["Tags"]
            elif kind == "log_groups":
                pairs = logs.list_tags_log_group(logGroupName=one)["tags"]
                found[one] = [{"Key": key, "Value": text} for key, text in pairs.items()]
            elif kind == "parameters":
                found[one] = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=one)[
                    "TagList"
                ]
            elif kind == "secrets":
                found[one] = manager.describe_secret(SecretId=one)["Tags"]
            elif kind != "network_interfaces":
                wanted = [{"Name": "resource-id", "Values": [one]}]
                found[one] = ec2.describe_tags(Filters=wanted)["Tags"]
    found |= {
        rule["SecurityGroupRuleId"]: rule.get("Tags")
        for rule in ec2.describe_security_group_rules()["SecurityGroupRules"]
        if not rule["IsEgress"] and rule["GroupId"] in found
    }
    return {name: tags.parsed(pairs) for name, pairs in found.items()}


def lease(account: Account, name: str = "queue") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(account.parameters()[f"{ROOT}/clusters/{name}"])
    return found


def age(account: Account, name: str = "queue", *, hours: float = 25.0, **changes: Any) -> None:
    """Let the lease of a cluster be so much older."""
    data = lease(account, name)
    for key in ("created", "expires"):
        moment = tags.moment_of(data[key])
        assert moment is not None
        data[key] = tags.text_of(moment - timedelta(hours=hours))
    account.harness.client("ssm").put_parameter(
        Name=f"{ROOT}/clusters/{name}", Value=json.dumps({**data, **changes}), Overwrite=True
    )


def stranger(account: Account) -> str:
    """Run a task of somebody else in our ECS cluster; return its ARN."""
    ecs = account.harness.client("ecs")
    ecs.register_task_definition(
        family="theirs",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "theirs", "image": "theirs:1"}],
    )
    ours = account.tasks()[0]
    (details,) = (one["details"] for one in ours["attachments"])
    subnet = next(one["value"] for one in details if one["name"] == "subnetId")
    answer = ecs.run_task(
        cluster=ECS_CLUSTER,
        taskDefinition="theirs",
        launchType="FARGATE",
        startedBy="dockerparallel/queue",
        networkConfiguration={
            "awsvpcConfiguration": {"subnets": [subnet], "assignPublicIp": "ENABLED"}
        },
    )
    return str(answer["tasks"][0]["taskArn"])


# Tags ---------------------------------------------------------------------------------------


def test_everything_has_tags(account: Account, harness: FargateHarness) -> None:
    container = TinyFargateContainer(environment={"LONG": "x" * 9000}, max_worker_num=2)
    cluster = account.started(container=container, workers=3, tags=THEIRS)
    found = all_tags(harness)
    assert len(found) > 20
    (identifier,) = {one["dockerparallel:cluster-id"] for one in found.values()}
    for name, pairs in found.items():
        assert {key: pairs[key] for key in THEIRS} == THEIRS, name
        assert pairs["dockerparallel:infrastructure"] == ECS_CLUSTER, name
        assert pairs["dockerparallel:cluster"] == "queue", name
        assert pairs["dockerparallel:owner"].startswith("arn:aws:"), name
        created, expires = (
            tags.moment_of(pairs[f"dockerparallel:{key}"]) for key in ("created", "expires")
        )
        assert created is not None, name
        assert expires is not None, name
        assert timedelta(hours=23) < expires - created <= timedelta(hours=24), name
    assert lease(account)["cluster_id"] == identifier
    roles = sorted(
        (task["cpu"], task["memory"], tags.parsed(task["tags"])["dockerparallel:workers"])
        for task in account.tasks()
    )
    assert [workers for _, _, workers in roles] == ["0", "1", "2"] or len(roles) == 3
    for task in account.tasks():
        pairs = tags.parsed(task["tags"])
        assert pairs["dockerparallel:cpu"] == task["cpu"]
        assert pairs["dockerparallel:memory"] == task["memory"]
    cluster.stop()


# Lists --------------------------------------------------------------------------------------


def test_lists_of_all_clusters(account: Account) -> None:
    one = account.started("one", 3, per_task=2)
    two = account.started("two", 1, spot=True)
    stranger(account)
    for cluster in (one, two, account.cluster("three")):
        view = cluster.cloud_provider
        first, second = view.list_clusters()
        assert (first.name, first.worker_number, len(first.tasks)) == ("one", 3, 3)
        assert (second.name, second.worker_number, len(second.tasks)) == ("two", 1, 2)
        assert first.server == second.server == "running"
        assert not first.expired
        assert first.owner == lease(account, "one")["owner"]
        assert first.expires is not None
        assert first.expires > datetime.now(UTC) + timedelta(hours=23)
        assert [task.cluster for task in view.list_servers()] == ["one", "two"]
        workers = view.list_workers()
        assert sorted((task.cluster, task.workers, task.spot) for task in workers) == [
            ("one", 1, False),
            ("one", 2, False),
            ("two", 1, True),
        ]
        assert {task.role for task in workers} == {"worker"}
    one.stop()
    assert [cluster.name for cluster in two.cloud_provider.list_clusters()] == ["two"]
    two.stop()
    assert two.cloud_provider.list_clusters() == []
    assert two.cloud_provider.list_workers() == []


def test_lists_in_an_empty_account(account: Account) -> None:
    view = account.cluster().cloud_provider
    assert (view.list_clusters(), view.list_servers(), view.list_workers()) == ([], [], [])
    assert view.gc() == []
    assert view.remove_cluster("queue") == 0


def test_a_lease_alone_is_listed(account: Account, harness: FargateHarness) -> None:
    cluster = account.started()
    for task in account.tasks():
        harness.vanish(task["taskArn"])
    (found,) = account.cluster().cloud_provider.list_clusters()
    assert (found.name, found.server, found.worker_number, found.tasks) == ("queue", "", 0, ())
    # The name is free again, at once.
    again = account.started()
    running(again, 2)
    del cluster


# Ending -------------------------------------------------------------------------------------


def test_single_tasks_are_stopped_by_id_or_arn(account: Account, harness: FargateHarness) -> None:
    cluster = account.started(workers=3)
    running(cluster, 3)
    theirs = stranger(account)
    view = account.cluster().cloud_provider
    first, second, third = view.list_workers()
    harness.clear_calls()
    for wanted in (["nonsense"], [first.id, "nonsense"], [theirs], [first.arn, theirs]):
        with pytest.raises(InvalidValueError, match=rf"no task of DockerParallel.*{third.id}"):
            view.stop_tasks(*wanted)
    assert counted(harness)["StopTask"] == 0
    assert view.stop_tasks(first.id, second.arn) == [first.id, second.id]
    running(cluster, 1)
    with pytest.raises(InvalidValueError):
        view.stop_tasks(first.id)
    assert view.stop_tasks() == []


def test_a_cluster_is_ended_by_its_name(account: Account, harness: FargateHarness) -> None:
    one, two = account.started("one"), account.started("two", 1)
    theirs = stranger(account)
    view = account.cluster().cloud_provider
    assert view.remove_cluster("one") == 3
    assert view.remove_cluster("one") == 0
    assert view.remove_cluster("tw") == 0
    with pytest.raises(InvalidValueError, match="job_queue_name"):
        view.remove_cluster("no name")
    assert {task["taskArn"] for task in account.tasks()} == {
        *two.cloud_provider.tasks().values(),
        theirs,
    }
    assert not [name for name in account.parameters() if "one" in name or "slots/0" in name]
    # Its session sees that, and may stop and start.
    assert not one.is_server_running()
    one.stop()
    one.start()
    running(one, 2)


def test_gc_ends_what_has_expired_and_nothing_else(
    account: Account, harness: FargateHarness
) -> None:
    old, new = account.started("old"), account.started("new", 1)
    theirs = stranger(account)
    view = account.cluster().cloud_provider
    assert view.gc() == []
    age(account, "old", hours=23.9)
    assert view.gc(deep=True) == []
    age(account, "old", hours=0.2)
    assert view.gc(deep=True) == ["old"]
    living = {task["taskArn"] for task in account.tasks()}
    assert living == {*new.cloud_provider.tasks().values(), theirs}
    assert "vpcs" in harness.left()
    # A stranger's task in our ECS cluster is never touched.
    age(account, "new", hours=25)
    harness.client("ecs").stop_task(cluster=ECS_CLUSTER, task=theirs)
    assert view.gc(deep=True) == ["new"]
    left = harness.left()
    assert {kind for kind in left if kind != "task_definitions"} == set()
    assert len(left["task_definitions"]) == 1
    old.stop()
    new.stop()
    with pytest.raises(InvalidTypeError):
        view.gc(deep="yes")


def test_gc_of_a_cluster_without_a_lease_goes_by_the_tags(account: Account) -> None:
    account.started(lifetime_hours=1e-6)
    account.started("lasting")
    ssm = account.harness.client("ssm")
    for name in ("queue", "lasting"):
        ssm.delete_parameter(Name=f"{ROOT}/clusters/{name}")
    view = account.cluster().cloud_provider
    names = [cluster.name for cluster in view.list_clusters()]
    assert names == ["lasting", "queue"]
    assert view.gc() == ["queue"]
    assert [cluster.name for cluster in view.list_clusters()] == ["lasting"]
    # And its secrets went with it.
    assert {name for name in account.parameters() if "slots/0" in name} == set()


def test_a_lease_that_is_used_is_renewed(account: Account, harness: FargateHarness) -> None:
    cluster = account.started()
    first = lease(account)
    cluster.set_worker_number(3)
    assert lease(account)["expires"] == first["expires"]
    held = deployment_of(cluster).store
    assert held.lease is not None
    age(account, hours=13)
    held.lease = held.lease.parse(json.dumps(lease(account)), "queue")
    cluster.set_worker_number(4)
    assert lease(account)["expires"] >= first["expires"]
    age(account, hours=13)
    account.cluster().reconnect()
    assert lease(account)["expires"] >= first["expires"]


# Taking names -------------------------------------------------------------------------------


def crashed(account: Account, **changes: Any) -> None:
    """Leave what a session leaves that dies before its first task."""
    cluster = account.cluster()
    deployment_of(cluster).begin(cluster)
    age(account, **changes)


def test_the_name_of_a_session_that_crashed_in_its_start_is_free_soon(
    account: Account, harness: FargateHarness
) -> None:
    crashed(account, hours=0.0)
    with pytest.raises(ClusterExistsError, match="starting a cluster 'queue' at this moment"):
        account.cluster().start()
    assert f"{ROOT}/slots/0/claim" in account.parameters()
    age(account, hours=0.05)
    cluster = account.started()
    running(cluster, 2)
    # In the slot of the other.
    assert lease(account)["slot"] == 0
    cluster.stop()
    cluster.cleanup(deep=True)
    assert harness.left() == {}


def test_a_slot_that_a_crashed_session_has_claimed_goes_with_the_rest(
    account: Account, harness: FargateHarness
) -> None:
    # It died before it could note the slot.
    crashed(account, hours=0.0, slot=-1)
    age(account, hours=1)
    cluster = account.started()
    cluster.stop()
    assert "parameters" not in harness.left()
    crashed(account, hours=25.0, slot=-1)
    harness.client("ssm").delete_parameter(Name=f"{ROOT}/clusters/queue")
    cluster.cleanup(deep=True)
    assert harness.left() == {}


def test_two_sessions_that_start_one_name(account: Account, harness: FargateHarness) -> None:
    first, second = account.cluster(), account.cluster()
    # Both have looked, and have seen no cluster.
    assert not first.exists()
    assert not second.exists()
    first.start()
    with pytest.raises(ClusterExistsError, match="'queue' runs already"):
        second.start()
    with pytest.raises(ClusterExistsError, match=r"Another session runs a cluster 'queue'"):
        second.start_server()
    running(first, 2)
    assert len(account.tasks()) == 3
    second.stop()
    assert len(account.tasks()) == 3
    first.stop()
    second.start()
    running(second, 2)


def test_a_cluster_that_was_replaced_is_not_ended_by_its_old_session(
    account: Account, harness: FargateHarness
) -> None:
    long = TinyFargateContainer(environment={"LONG": "x" * 9000})
    first = account.started(container=long)
    second = account.cluster(container=long)
    second.start(if_exists="new")
    running(second, 2)
    before = account.parameters()
    secrets = harness.left()["secrets"]
    first.worker_numbers()
    first.stop()
    assert account.parameters() == before
    assert harness.left()["secrets"] == secrets
    running(second, 2)
    assert second.is_server_running()


def test_a_lease_that_cannot_be_read(account: Account, harness: FargateHarness) -> None:
    for text in ("nonsense", "{}", json.dumps({"format": 99})):
        cluster = account.started()
        ssm = harness.client("ssm")
        ssm.put_parameter(Name=f"{ROOT}/clusters/queue", Value=text, Overwrite=True)
        other = account.cluster()
        with pytest.raises(StaticDataError, match=r"lease of the cluster 'queue'|later version"):
            other.reconnect()
        assert len(account.tasks()) == 3
        other.start(if_exists="new")
        running(other, 2)
        assert len(account.tasks()) == 3
        other.stop()
        assert account.parameters() == {}
        cluster.stop()


def test_a_lease_that_is_gone(account: Account, harness: FargateHarness) -> None:
    cluster = account.started()
    harness.client("ssm").delete_parameter(Name=f"{ROOT}/clusters/queue")
    other = account.cluster()
    with pytest.raises(StaticDataError, match=r"lease of the cluster 'queue' is gone.*stop queue"):
        other.reconnect()
    assert account.cluster().cloud_provider.remove_cluster("queue") == 3
    assert account.parameters() == {}
    assert account.tasks() == []
    cluster.stop()


# Deep clean-up ------------------------------------------------------------------------------


def test_deep_clean_up_leaves_what_another_cluster_uses(
    account: Account, harness: FargateHarness, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = account.started("one"), account.started("two")
    two_left = {kind: set(ids) for kind, ids in harness.left().items()}
    one.stop()
    one.cleanup(deep=True)
    assert "Other clusters use the ECS cluster 'lab'" in caplog.text
    left = {kind: set(ids) for kind, ids in harness.left().items()}
    for kind, identifiers in left.items():
        assert identifiers <= two_left[kind]
        if kind not in {"tasks", "parameters", "network_interfaces"}:
            assert identifiers == two_left[kind]
    # Its rule, too: both sessions come from one address, to one port.
    assert two.is_server_running()
    (server,) = (
        task
        for task in harness.tasks()
        if task.tags["dockerparallel:role"] == "server" and task.status == "RUNNING"
    )
    assert account.port in server.open_ports
    two.stop()
    (group,) = harness.left()["security_groups"]
    rules = harness.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert [rule for rule in rules[0]["IpPermissions"] if rule["IpRanges"]] == []
    two.cleanup(deep=True)
    assert harness.left() == {}


def test_clean_up_is_refused_while_the_cluster_runs(account: Account) -> None:
    account.started()
    other: DockerCluster = account.cluster()
    with pytest.raises(Exception, match="Clean-up was refused"):
        other.cleanup(deep=True)
    assert len(account.tasks()) == 3
