"""Tasks pass their states, and are described, listed and stopped as on Fargate."""

from __future__ import annotations

from datetime import datetime

import pytest
from botocore.exceptions import ClientError
from fargate_harness_account import Account, wait_for

SPOT = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]


def test_a_task_passes_its_states(account: Account) -> None:
    account.harness.change_settings(
        provisioning_seconds=0.3, pulling_seconds=0.3, deprovisioning_seconds=0.3
    )
    arn = account.start()
    seen = [account.describe(arn)["lastStatus"]]

    def passes(*until: str) -> bool:
        status = account.describe(arn)["lastStatus"]
        if status != seen[-1]:
            seen.append(status)
        return status in until

    wait_for(lambda: passes("RUNNING"))
    account.ecs.stop_task(cluster="c", task=arn, reason="enough")
    wait_for(lambda: passes("STOPPED"))
    assert [status for status in seen if status not in {"DEACTIVATING", "STOPPING"}] == [
        "PROVISIONING",
        "PENDING",
        "RUNNING",
        "DEPROVISIONING",
        "STOPPED",
    ]


def test_a_stopped_task_says_all_about_its_life(account: Account) -> None:
    overrides = {"cpu": "512", "memory": "2048"}
    arn = account.start(startedBy="me", overrides=overrides, tags=[{"key": "a", "value": "b"}])
    running = account.reaches(arn, "RUNNING")
    assert running["containers"][0]["runtimeId"]
    assert running["attachments"][0]["status"] == "ATTACHED"
    account.ecs.stop_task(cluster="c", task=arn, reason="enough")
    task = account.reaches(arn, "STOPPED")
    assert {key: task[key] for key in ("stopCode", "stoppedReason", "desiredStatus")} == {
        "stopCode": "UserInitiated",
        "stoppedReason": "enough",
        "desiredStatus": "STOPPED",
    }
    assert (task["cpu"], task["memory"], task["startedBy"]) == ("512", "2048", "me")
    assert task["overrides"]["cpu"] == "512"
    assert task["containers"][0]["exitCode"] == 143
    names = "createdAt pullStartedAt pullStoppedAt startedAt stoppingAt stoppedAt".split()
    times = [task[name] for name in names]
    assert all(isinstance(time, datetime) for time in times)
    assert times == sorted(times)


def test_the_interface_has_the_addresses_of_the_task(account: Account) -> None:
    arn = account.start()
    task = account.reaches(arn, "RUNNING")
    details = {item["name"]: item["value"] for item in task["attachments"][0]["details"]}
    found = account.ec2.describe_network_interfaces(
        NetworkInterfaceIds=[details["networkInterfaceId"]]
    )["NetworkInterfaces"][0]
    assert found["PrivateIpAddress"] == details["privateIPv4Address"]
    assert found["Association"]["PublicIp"] == account.harness.tasks()[0].public_address
    assert found["Groups"][0]["GroupId"] == account.group
    account.ecs.stop_task(cluster="c", task=arn)
    account.reaches(arn, "STOPPED")
    assert not account.ec2.describe_network_interfaces()["NetworkInterfaces"]


def test_a_vpc_with_dns_host_names_has_tasks_too(account: Account) -> None:
    for on in (True, False):
        account.ec2.modify_vpc_attribute(VpcId=account.vpc, EnableDnsHostnames={"Value": on})
        account.reaches(account.start(), "RUNNING")
    assert len(account.ec2.describe_network_interfaces()["NetworkInterfaces"]) == 2


def test_unknown_tasks_are_missing(account: Account) -> None:
    arn = account.start()
    gone = arn[:-1] + ("0" if arn[-1] != "0" else "1")
    found = account.ecs.describe_tasks(cluster="c", tasks=[arn, gone])
    assert [task["taskArn"] for task in found["tasks"]] == [arn]
    assert found["failures"] == [{"arn": gone, "reason": "MISSING"}]
    with pytest.raises(ClientError, match="maximum size of 100"):
        account.ecs.describe_tasks(cluster="c", tasks=[str(number) for number in range(101)])


def test_a_task_is_not_in_another_cluster(account: Account) -> None:
    arn = account.start()
    account.ecs.create_cluster(clusterName="other")
    assert account.ecs.describe_tasks(cluster="other", tasks=[arn])["failures"]
    assert not account.ecs.list_tasks(cluster="other")["taskArns"]


def test_stopped_tasks_are_forgotten(account: Account) -> None:
    arn = account.start()
    account.ecs.stop_task(cluster="c", task=arn)
    account.reaches(arn, "STOPPED")
    account.harness.change_settings(stopped_task_seconds=0)
    assert account.ecs.describe_tasks(cluster="c", tasks=[arn])["failures"]


def test_lists_come_in_pages(account: Account) -> None:
    definition = account.register()
    started = {
        task["taskArn"] for _ in range(11) for task in account.run(definition, count=10)["tasks"]
    }
    first = account.ecs.list_tasks(cluster="c")
    assert len(first["taskArns"]) == 100
    rest = account.ecs.list_tasks(cluster="c", nextToken=first["nextToken"])
    assert "nextToken" not in rest
    assert {*first["taskArns"], *rest["taskArns"]} == started
    pages = account.ecs.get_paginator("list_tasks").paginate(
        cluster="c", PaginationConfig={"PageSize": 7}
    )
    assert {arn for page in pages for arn in page["taskArns"]} == started
    for size in (0, 101):
        with pytest.raises(ClientError, match="maxResults"):
            account.ecs.list_tasks(cluster="c", maxResults=size)


def test_lists_are_filtered(account: Account) -> None:
    mine, other = account.start(startedBy="me"), account.start(startedBy="other")
    assert account.ecs.list_tasks(cluster="c", startedBy="me")["taskArns"] == [mine]
    assert len(account.ecs.list_tasks(cluster="c", family="f")["taskArns"]) == 2
    with pytest.raises(ClientError, match="startedBy filter"):
        account.ecs.list_tasks(cluster="c", startedBy="me", family="f")
    account.ecs.stop_task(cluster="c", task=other)
    assert account.ecs.list_tasks(cluster="c")["taskArns"] == [mine]
    stopped = account.ecs.list_tasks(cluster="c", desiredStatus="STOPPED")
    assert stopped["taskArns"] == [other]


def test_lists_lag_behind(account: Account) -> None:
    account.harness.change_settings(list_lag_seconds=3600)
    arn = account.start()
    assert account.ecs.list_tasks(cluster="c")["taskArns"] == []
    assert account.describe(arn)
    account.harness.change_settings(list_lag_seconds=0)
    assert account.ecs.list_tasks(cluster="c")["taskArns"] == [arn]


def test_an_unknown_task_is_not_stopped(account: Account) -> None:
    with pytest.raises(ClientError, match=r"The referenced task was not found."):
        account.ecs.stop_task(cluster="c", task="0" * 32)


def test_a_cluster_with_tasks_is_not_deleted(account: Account) -> None:
    arn = account.start()
    account.reaches(arn, "RUNNING")
    shown = account.ecs.describe_clusters(clusters=["c"])["clusters"][0]
    assert shown["runningTasksCount"] == 1
    with pytest.raises(ClientError, match="ClusterContainsTasksException"):
        account.ecs.delete_cluster(cluster="c")
    account.ecs.stop_task(cluster="c", task=arn)
    account.reaches(arn, "STOPPED")
    account.ecs.delete_cluster(cluster="c")
    with pytest.raises(ClientError, match="ClusterNotFoundException"):
        account.ecs.list_tasks(cluster="c")


def test_creating_a_cluster_again_leaves_it_as_it_is(account: Account) -> None:
    again = account.ecs.create_cluster(clusterName="c")["cluster"]
    assert again["capacityProviders"] == ["FARGATE", "FARGATE_SPOT"]


def test_tags_of_a_task_can_be_changed(account: Account) -> None:
    arn = account.start(tags=[{"key": "a", "value": "1"}])
    account.ecs.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}])
    account.ecs.untag_resource(resourceArn=arn, tagKeys=["a"])
    tags = [{"key": "b", "value": "2"}]
    assert account.ecs.list_tags_for_resource(resourceArn=arn)["tags"] == tags
    assert account.describe(arn)["tags"] == tags


def test_three_hundred_tasks_cost_few_calls(account: Account) -> None:
    definition = account.register()
    account.harness.clear_calls()
    for _ in range(30):
        account.run(definition, count=10)
    arns = [
        arn
        for page in account.ecs.get_paginator("list_tasks").paginate(cluster="c")
        for arn in page["taskArns"]
    ]

    def all_running() -> bool:
        statuses = []
        for first in range(0, 300, 100):
            found = account.ecs.describe_tasks(cluster="c", tasks=arns[first : first + 100])
            statuses += [task["lastStatus"] for task in found["tasks"]]
        return statuses == ["RUNNING"] * 300

    wait_for(all_running)
    assert len(account.harness.calls("ecs", "RunTask")) == 30
    assert len(account.harness.calls("ecs", "ListTasks")) == 3


def test_the_quota_of_vcpus_bounds_the_tasks(account: Account) -> None:
    account.harness.change_settings(vcpu_quota=0.5)
    answer = account.run(count=3)
    assert len(answer["tasks"]) == 2
    assert [failure["reason"] for failure in answer["failures"]] == [
        "You've reached the limit on the number of vCPUs you can run concurrently"
    ]


def test_a_spot_task_is_taken_back(account: Account) -> None:
    arn = account.start(launchType=None, capacityProviderStrategy=SPOT)
    account.reaches(arn, "RUNNING")
    account.harness.interrupt_spot(arn)
    task = account.reaches(arn, "STOPPED")
    assert task["stopCode"] == "SpotInterruption"
    assert task["stoppedReason"] == "Your Spot Task was interrupted."


def test_a_task_vanishes(account: Account) -> None:
    arn = account.start()
    account.harness.vanish(arn)
    assert account.ecs.describe_tasks(cluster="c", tasks=[arn])["failures"]
    assert "network_interfaces" not in account.harness.left()
