"""What AWS refuses elsewhere: definitions, networks, parameters and secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fargate_harness_account import Account

from dockerparallel_fargate_harness.sizes import MEMORY_OF_CPU, Size, size_of


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cpu": None}, "requires that 'cpu' be defined"),
        ({"memory": "3072"}, "No Fargate configuration exists"),
        ({"cpu": "300"}, "No Fargate configuration exists"),
        ({"networkMode": "bridge"}, "only supports network mode 'awsvpc'"),
        ({"runtimePlatform": {"cpuArchitecture": "RISCV"}}, "cpuArchitecture should be"),
        ({"family": "a b"}, "Family contains invalid characters"),
        ({"containerDefinitions": []}, "cannot be empty"),
    ],
)
def test_a_wrong_definition_is_refused(
    account: Account, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClientError, match=words):
        account.register(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"privileged": True}, "privileged"),
        ({"stopTimeout": 121}, "stopTimeout"),
        ({"portMappings": [{"containerPort": 80, "hostPort": 81}]}, "must match"),
        ({"memory": 1024}, "more than the task"),
        ({"secrets": [{"name": "A", "valueFrom": "/a"}]}, "executionRoleArn"),
        ({"logConfiguration": {"logDriver": "awslogs"}}, "execution role ARN"),
        ({"logConfiguration": {"logDriver": "json-file"}}, "does not support log driver"),
    ],
)
def test_a_wrong_container_is_refused(
    account: Account, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClientError, match=words):
        account.register(containerDefinitions=[account.container(**changes)])


def test_awslogs_needs_a_prefix_on_fargate(account: Account) -> None:
    log = account.awslogs()
    del log["options"]["awslogs-stream-prefix"]
    container = account.container(logConfiguration=log)
    with pytest.raises(ClientError, match="requires options: awslogs-stream-prefix"):
        account.register(containerDefinitions=[container], executionRoleArn=account.role)


def test_the_sizes_are_those_of_fargate() -> None:
    assert {cpu: (min(sizes), max(sizes), len(sizes)) for cpu, sizes in MEMORY_OF_CPU.items()} == {
        256: (512, 2048, 3),
        512: (1024, 4096, 4),
        1024: (2048, 8192, 7),
        2048: (4096, 16384, 13),
        4096: (8192, 30720, 23),
        8192: (16384, 61440, 12),
        16384: (32768, 122880, 12),
    }
    assert size_of("1 vCPU", "2 GB") == size_of("1024", "2048") == Size(1024, 2048)
    assert size_of(".25 vcpu", "0.5GB") == Size(256, 512)
    assert size_of("8192", str(18 * 1024)) is None
    assert size_of(None, "512") is None


def test_a_group_in_use_is_not_deleted(account: Account) -> None:
    arn = account.start()
    with pytest.raises(ClientError, match=r"DependencyViolation.*dependent object"):
        account.ec2.delete_security_group(GroupId=account.group)
    with pytest.raises(ClientError, match="DependencyViolation"):
        account.ec2.delete_subnet(SubnetId=account.public)
    account.ecs.stop_task(cluster="c", task=arn)
    account.reaches(arn, "STOPPED")
    account.ec2.delete_security_group(GroupId=account.group)
    account.ec2.delete_subnet(SubnetId=account.public)


def test_a_group_that_another_names_is_not_deleted(account: Account) -> None:
    other = account.new_group("other")
    source = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": account.group}]}]
    account.ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=source)
    with pytest.raises(ClientError, match="DependencyViolation"):
        account.ec2.delete_security_group(GroupId=account.group)
    account.ec2.delete_security_group(GroupId=other)
    account.ec2.delete_security_group(GroupId=account.group)


def test_a_network_is_deleted_from_the_leaves_up(account: Account) -> None:
    arn = account.start()
    account.reaches(arn, "RUNNING")
    with pytest.raises(ClientError, match="mapped public address"):
        account.ec2.detach_internet_gateway(InternetGatewayId=account.gateway, VpcId=account.vpc)
    account.ecs.stop_task(cluster="c", task=arn)
    account.reaches(arn, "STOPPED")
    with pytest.raises(ClientError, match="DependencyViolation"):
        account.ec2.delete_internet_gateway(InternetGatewayId=account.gateway)
    steps: list[Callable[[], Any]] = [
        lambda: account.ec2.delete_subnet(SubnetId=account.public),
        lambda: account.ec2.delete_subnet(SubnetId=account.private),
        lambda: account.ec2.delete_route_table(RouteTableId=account.table),
        lambda: account.ec2.detach_internet_gateway(
            InternetGatewayId=account.gateway, VpcId=account.vpc
        ),
        lambda: account.ec2.delete_security_group(GroupId=account.group),
    ]
    for step in steps:
        with pytest.raises(ClientError, match="DependencyViolation"):
            account.ec2.delete_vpc(VpcId=account.vpc)
        step()
    account.ec2.delete_vpc(VpcId=account.vpc)
    account.ec2.delete_internet_gateway(InternetGatewayId=account.gateway)
    left = account.harness.left()
    assert not {"vpcs", "subnets", "internet_gateways", "security_groups"} & set(left)


def test_parameters_have_a_longest_length(account: Account) -> None:
    put = account.ssm.put_parameter
    put(Name="/a", Value="x" * 4096, Type="String")
    with pytest.raises(ClientError, match=r"ValidationException.*4096"):
        put(Name="/b", Value="x" * 4097, Type="String")
    put(Name="/c", Value="x" * 8192, Type="String", Tier="Advanced")
    with pytest.raises(ClientError, match="ValidationException"):
        put(Name="/d", Value="x" * 8193, Type="String", Tier="Advanced")
    with pytest.raises(ClientError, match="tags and overwrite"):
        put(Name="/a", Value="y", Type="String", Overwrite=True, Tags=[{"Key": "k", "Value": "v"}])


@pytest.mark.parametrize("action", ["get_parameters", "delete_parameters"])
def test_only_ten_parameters_at_a_time(account: Account, action: str) -> None:
    call = getattr(account.ssm, action)
    call(Names=[f"/{number}" for number in range(10)])
    with pytest.raises(ClientError, match="less than or equal to 10"):
        call(Names=[f"/{number}" for number in range(11)])


def test_secrets_have_a_longest_length(account: Account) -> None:
    account.secrets.create_secret(Name="a", SecretString="x" * 65536)
    with pytest.raises(ClientError, match="65536"):
        account.secrets.create_secret(Name="b", SecretString="x" * 65537)
