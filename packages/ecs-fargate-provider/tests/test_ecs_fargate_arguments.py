"""What cannot be used is refused when the provider is made, before AWS is asked anything."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from ecs_fargate_tiny import ECS_CLUSTER, Account, TinyFargateContainer, counted, deployment_of

from dockerparallel import DockerCluster, InvalidTypeError, InvalidValueError
from dockerparallel_ecs_fargate_provider import ECSFargateProvider, ResourceError
from dockerparallel_ecs_fargate_provider.options import checked_cidr
from dockerparallel_ecs_fargate_provider.policy import execution_role_policy, trust_policy
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")

ROLE = "arn:aws:iam::123456789012:role/theirs"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("cluster_name", "", "cluster_name"),
        ("cluster_name", "-lab", "starts with a letter or digit"),
        ("cluster_name", "l" * 33, "at most 32"),
        ("cluster_name", "a lab", "cannot be used"),
        ("region", "", "region"),
        ("vpc_id", "", "vpc_id"),
        ("security_group_id", "", "security_group_id"),
        ("task_role_arn", "theirs", "no ARN of a role"),
        ("execution_role_arn", "arn:aws:iam::123456789012:user/me", "no ARN of a role"),
        ("subnet_ids", [""], r"subnet_ids\[0\]"),
        ("spot", 1.01, "from 0 to 1"),
        ("spot", -0.1, "from 0 to 1"),
        ("spot", math.nan, "from 0 to 1"),
        ("architecture", "sparc", "'X86_64' or 'ARM64'"),
        ("log_group", "", "log_group"),
        ("tags", {"aws:x": "y"}, "reserved"),
        ("tags", {"DockerParallel:x": "y"}, "reserved"),
        ("tags", {"": "y"}, "key of tags"),
        ("tags", {"x": "y" * 257}, "cannot be used"),
        ("tags", {"x" * 129: "y"}, "cannot be used"),
        ("tags", {"x": "a*b"}, "cannot be used"),
        ("tags", {str(number): "" for number in range(31)}, "31 tags"),
        ("endpoint_url", "", "endpoint_url"),
        ("client_cidr", "0.0.0.0/0", "whole internet"),
        ("client_cidr", "nonsense", "no IPv4 network"),
        ("client_cidr", "2001:db8::/32", "no IPv4 network"),
        ("kms_key_id", "", "kms_key_id"),
        ("lifetime_hours", 0, "lifetime_hours"),
        ("lifetime_hours", math.inf, "finite"),
        ("poll_interval", 0, "poll_interval"),
        ("start_timeout", -1, "start_timeout"),
        ("stop_timeout", math.nan, "stop_timeout"),
        ("assign_public_ip", False, "subnet_ids"),
    ],
)
def test_values(name: str, value: object, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        ECSFargateProvider(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cluster_name", None),
        ("region", 1),
        ("vpc_id", 1),
        ("subnet_ids", "subnet-1"),
        ("subnet_ids", [1]),
        ("subnet_ids", 7),
        ("security_group_id", ["sg-1"]),
        ("task_role_arn", 1),
        ("assign_public_ip", "yes"),
        ("spot", "half"),
        ("spot", None),
        ("architecture", None),
        ("tags", ["a"]),
        ("tags", {"a": 1}),
        ("tags", {1: "a"}),
        ("endpoint_url", 8080),
        ("client_cidr", 7),
        ("checkip_url", 7),
        ("kms_key_id", b"key"),
        ("lifetime_hours", "a day"),
        ("lifetime_hours", True),
        ("poll_interval", "1"),
        ("start_timeout", None),
        ("session", "default"),
        ("prices", {"vcpu": 1.0}),
    ],
)
def test_types(name: str, value: object) -> None:
    with pytest.raises(InvalidTypeError, match=name):
        ECSFargateProvider(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        ("203.0.113.7/24", "203.0.113.0/24"),
        ("10.0.0.0/8", "10.0.0.0/8"),
    ],
)
def test_networks_of_clients(given: str, expected: str) -> None:
    assert checked_cidr(given) == expected


def test_arguments_of_the_user_are_copied() -> None:
    tags, subnets = {"team": "physics"}, ["subnet-1"]
    provider = ECSFargateProvider(tags=tags, subnet_ids=subnets)
    tags["team"] = "chemistry"
    subnets.append("subnet-2")
    assert provider._options.tags == {"team": "physics"}
    assert provider._options.subnet_ids == ("subnet-1",)


def test_nothing_is_asked_of_aws_by_making_one(account: Account, harness: FargateHarness) -> None:
    provider = account.provider(spot=0.5, tags={"a": "b"})
    cluster = account.cluster(cluster_options={"provider": provider})
    repr(cluster)
    cluster.cloud_provider.estimate()
    assert harness.calls() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"worker_cpu": 16385}, "worker"),
        ({"worker_memory": 122881}, "worker"),
        ({"server_cpu": 16385}, "server"),
    ],
)
def test_hardware_that_fargate_has_not(
    account: Account, harness: FargateHarness, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidValueError, match=words):
        account.cluster(cluster_options=options).start()
    assert harness.left() == {}
    assert set(counted(harness)) <= {"GetCallerIdentity", "ListTasks", "DescribeParameters"}


@pytest.mark.parametrize(
    "options",
    [
        {"vpc_id": "vpc-1"},
        {"subnet_ids": ["subnet-1"]},
        {"security_group_id": "sg-1"},
        {"execution_role_arn": ROLE},
        {"task_role_arn": ROLE},
        {"log_group": "theirs"},
    ],
)
def test_given_things_that_do_not_exist(
    account: Account, harness: FargateHarness, options: dict[str, Any]
) -> None:
    (name,) = options
    with pytest.raises(ResourceError, match=rf"{name}.*do(es)? not exist"):
        account.cluster(**options).start()
    assert harness.left() == {}
    assert not counted(harness, "Create", "Put", "Run", "Register")


def private_subnet(harness: FargateHarness) -> str:
    """Make a subnet that reaches the internet by a NAT gateway."""
    ec2 = harness.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(
        RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat["NatGatewayId"]
    )
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    return str(subnet)


def test_a_private_cluster(
    account: Account, harness: FargateHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing answers there.
    monkeypatch.setattr("dockerparallel_ecs_fargate_provider.client_access._CONNECT_SECONDS", 0.01)
    subnet = private_subnet(harness)
    before = harness.left()
    options: dict[str, Any] = {
        "subnet_ids": [subnet],
        "assign_public_ip": False,
        "client_cidr": "10.0.0.0/8",
    }
    cluster: DockerCluster = account.cluster(**options)
    cluster.start_server()
    cluster.set_worker_number(2)
    for task in account.tasks():
        details = {
            item["name"]: item["value"] for one in task["attachments"] for item in one["details"]
        }
        assert details["subnetId"] == subnet
    assert [task.public_address for task in harness.tasks()] == ["", "", ""]
    assert cluster.config.server_client_same_lan
    assert cluster.runtime.server_public_ip is None
    host, port = cluster.server_address_for_client()
    assert host.startswith("10.9.")
    assert port == account.port
    other = account.cluster(**options)
    other.state.provider.initialize(other)
    other.state.provider.reconnect(other)
    assert other.config.server_client_same_lan
    # Nothing of the network was made or changed, but for the security group.
    made = {kind for kind, ids in harness.left().items() if ids != before.get(kind)}
    assert not made & {"vpcs", "subnets", "internet_gateways", "route_tables", "nat_gateways"}
    estimate = cluster.cloud_provider.estimate()
    public = account.cluster().cloud_provider.estimate(worker_number=2)
    assert public.per_hour - estimate.per_hour == pytest.approx(3 * 0.005)
    cluster.stop()
    cluster.cleanup(deep=True)
    assert harness.left() == before


def made_role(harness: FargateHarness, log_group: str) -> str:
    """Make the role that a user without the right to make roles asks for."""
    iam, account = harness.client("iam"), "123456789012"
    arn = iam.create_role(
        RoleName="theirs", AssumeRolePolicyDocument=json.dumps(trust_policy(account))
    )["Role"]["Arn"]
    policy = execution_role_policy(
        cluster_name=ECS_CLUSTER, log_group=log_group, account=account, region="us-east-1"
    )
    iam.put_role_policy(RoleName="theirs", PolicyName="theirs", PolicyDocument=json.dumps(policy))
    return str(arn)


def test_everything_given_is_used_and_stays(account: Account, harness: FargateHarness) -> None:
    first = account.started("one", cluster_name="theirs")
    site = deployment_of(first)._site
    assert site is not None
    ec2 = harness.client("ec2")
    (rule,) = ec2.authorize_security_group_ingress(
        GroupId=site.security_group_id,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 1,
                "ToPort": 65535,
                "IpRanges": [{"CidrIp": "203.0.113.0/24"}],
            }
        ],
    )["SecurityGroupRules"]
    first.stop()
    role = made_role(harness, site.log_group)
    before = harness.left()
    harness.clear_calls()
    cluster = account.started(
        subnet_ids=list(site.subnet_ids),
        vpc_id=site.vpc_id,
        security_group_id=site.security_group_id,
        execution_role_arn=role,
        task_role_arn=role,
        log_group=site.log_group,
    )
    made = set(counted(harness, "Create", "Authorize", "Attach", "Modify"))
    assert made == {"CreateCluster"}
    definitions = harness.calls("ecs", "RegisterTaskDefinition")
    assert {call.parameters["taskRoleArn"] for call in definitions} == {role}
    (task, *_) = account.tasks()
    assert f"cluster/{ECS_CLUSTER}" in task["clusterArn"]
    cluster.stop()
    cluster.cleanup(deep=True)
    assert harness.left() == before
    assert rule["SecurityGroupRuleId"] in {
        one["SecurityGroupRuleId"]
        for one in ec2.describe_security_group_rules()["SecurityGroupRules"]
    }


def test_a_limit_without_a_command_to_limit_is_refused_before_anything_is_started(
    account: Account, harness: FargateHarness
) -> None:
    class Serving(TinyFargateContainer):
        """Its server has a command; it has none itself."""

        def server_container(self) -> TinyFargateContainer:
            return TinyFargateContainer(command=["serve"])

    before = harness.left()
    with pytest.raises(InvalidValueError, match=r"max_hours=2 .* has none"):
        account.started(container=Serving(), max_hours=2)
    assert counted(harness)["RunTask"] == 0
    assert harness.left() == before
