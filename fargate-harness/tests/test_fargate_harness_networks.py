"""Rules of security groups decide who reaches a task."""

from __future__ import annotations

import urllib.request

import docker
import pytest
from fargate_harness_account import Account, wait_for

from dockerparallel_fargate_harness import FargateHarness

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

SERVE = ["python3", "-u", "-m", "http.server", "8000"]


def serving(real: Account, port: int = 8000, groups: list[str] | None = None) -> str:
    """Start a task that serves HTTP, and return its ARN."""
    container = real.container(command=[*SERVE[:-1], str(port)])
    definition = real.register(containerDefinitions=[container])
    network = real.network(securityGroups=groups or [real.group])
    arn = real.start(definition, networkConfiguration=network)
    real.reaches(arn, "RUNNING")
    return arn


def addresses(real: Account, arn: str) -> tuple[str, str]:
    """Return the private and the public address of a task."""
    task = next(task for task in real.harness.tasks() if task.arn == arn)
    return task.private_address, task.public_address


def answers(address: str, port: int = 8000) -> bool:
    """Tell whether a web server answers."""
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def reached_from(real: Account, source: str, address: str, port: int = 8000) -> bool:
    """Start a task in a group that connects to an address, and tell whether it could."""
    program = f"import socket, sys\nsocket.create_connection(('{address}', {port}), 2).close()"
    container = real.container(command=["python3", "-c", program])
    arn = real.start(
        real.register(containerDefinitions=[container]),
        networkConfiguration=real.network(securityGroups=[source]),
    )
    ended = real.reaches(arn, "STOPPED")
    assert ended["stopCode"] == "EssentialContainerExited"
    return bool(ended["containers"][0]["exitCode"] == 0)


def let_itself_in(real: Account, group: str) -> None:
    """Let the members of a group reach each other."""
    source = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
    real.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=source)


def test_the_machine_reaches_the_private_address(real: Account) -> None:
    private, _ = addresses(real, serving(real))
    wait_for(lambda: answers(private))


def test_the_public_address_has_the_open_ports_only(real: Account) -> None:
    real.open(real.group, 8000, "203.0.113.7/32")
    _, public = addresses(real, serving(real))
    wait_for(lambda: answers(public))
    _, other = addresses(real, serving(real, port=8001))
    wait_for(lambda: answers(addresses(real, real.harness.tasks()[-1].arn)[0], 8001))
    assert public != other
    assert not answers(other, 8001)


def test_a_rule_for_another_address_opens_nothing(real: Account) -> None:
    real.open(real.group, 8000, "198.51.100.0/24")
    private, public = addresses(real, serving(real))
    wait_for(lambda: answers(private))
    assert not answers(public)
    assert real.harness.tasks()[0].open_ports == ()


def test_rules_count_while_the_task_runs(real: Account) -> None:
    private, public = addresses(real, serving(real))
    wait_for(lambda: answers(private))
    assert not answers(public)
    real.open(real.group, 8000, "203.0.113.0/24")
    assert answers(public)
    rules = real.ec2.describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [real.group]}]
    )["SecurityGroupRules"]
    ingress = [rule["SecurityGroupRuleId"] for rule in rules if not rule["IsEgress"]]
    real.ec2.revoke_security_group_ingress(GroupId=real.group, SecurityGroupRuleIds=ingress)
    assert not answers(public)


def test_a_task_without_a_public_address_has_none(real: Account) -> None:
    for service in ("ecr.api", "ecr.dkr"):
        real.ec2.create_vpc_endpoint(
            VpcId=real.vpc, ServiceName=f"com.amazonaws.us-east-1.{service}"
        )
    container = real.container(command=SERVE)
    arn = real.start(
        real.register(containerDefinitions=[container]),
        networkConfiguration=real.network(subnets=[real.private], assignPublicIp="DISABLED"),
    )
    real.reaches(arn, "RUNNING")
    private, public = addresses(real, arn)
    assert public == ""
    wait_for(lambda: answers(private))


def test_members_of_a_group_that_lets_itself_in_reach_each_other(real: Account) -> None:
    let_itself_in(real, real.group)
    private, _ = addresses(real, serving(real))
    wait_for(lambda: answers(private))
    assert reached_from(real, real.group, private)


def test_members_of_any_other_group_do_not(real: Account) -> None:
    # A rule for the client is none for the members.
    real.open(real.group, 8000, "203.0.113.7/32")
    private, _ = addresses(real, serving(real))
    wait_for(lambda: answers(private))
    assert not reached_from(real, real.group, private)


def test_other_groups_do_not_get_in(real: Account) -> None:
    let_itself_in(real, real.group)
    other = real.new_group("other")
    let_itself_in(real, other)
    private, _ = addresses(real, serving(real))
    wait_for(lambda: answers(private))
    assert not reached_from(real, other, private)


def is_internal(account: Account, engine: docker.DockerClient) -> bool:
    """Start a task and tell whether its network leads nowhere else."""
    arn = serving(account)
    container = engine.containers.get(account.harness.container_of(arn))
    (network,) = container.attrs["NetworkSettings"]["Networks"].values()
    return bool(engine.networks.get(network["NetworkID"]).attrs["Internal"])


def test_tasks_have_a_way_out_only_where_it_is_wanted(
    real: Account, engine: docker.DockerClient
) -> None:
    assert is_internal(real, engine)
    with FargateHarness(internet=True) as harness:
        assert not is_internal(Account(harness, real.image), engine)


def test_an_address_is_shown_when_it_is_the_containers(real: Account) -> None:
    """Until the container has it, there is none; on AWS it never changes once it is shown."""
    real.harness.change_settings(pulling_seconds=2.0)
    arn = real.start(real.register(containerDefinitions=[real.container(command=SERVE)]))
    shown: set[str] = set()

    def running() -> bool:
        task = real.describe(arn)
        (attachment,) = task["attachments"]
        shown.update(
            detail["value"]
            for detail in attachment["details"]
            if detail["name"] == "privateIPv4Address"
        )
        return bool(task["lastStatus"] == "RUNNING")

    wait_for(running)
    assert shown == {addresses(real, arn)[0]}
