"""The network of tasks and its security group: made, completed, given, and shared by sessions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ecs_fargate_sessions import REGION, Session, changes

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider import own_network
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.errors import AWSError, AWSTimeoutError, ResourceError
from dockerparallel_ecs_fargate_provider.infrastructure import Infrastructure, Site
from dockerparallel_ecs_fargate_provider.network import Network
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.security_group import SecurityGroup
from dockerparallel_ecs_fargate_provider.tags import INFRASTRUCTURE, MADE_BY, parsed
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig",)

MINE = "203.0.113.7/32"
PORT = 6379


@pytest.fixture
def ec2(harness: FargateHarness) -> Any:
    return harness.client("ec2")


@pytest.fixture
def session(aws: AWS) -> Session:
    return Session(aws, Options(cluster_name="lab"))


@pytest.fixture
def given(ec2: Any) -> dict[str, Any]:
    """Return a network as a user has it: a public, a private subnet and a group."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24")["Subnet"]["SubnetId"]
        for n in range(2)
    ]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnets[0])
    group = ec2.create_security_group(GroupName="theirs", Description="theirs", VpcId=vpc)
    return {"vpc": vpc, "subnets": subnets, "gateway": gateway, "group": group["GroupId"]}


def make(session: Session, logger: ClusterLogger) -> tuple[str, tuple[str, ...]]:
    return Network(session.aws, session.options).ensure(session.tags, logger)


def group_of(ec2: Any, group_id: str) -> dict[str, Any]:
    found: dict[str, Any] = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]
    return found


def complete(ec2: Any, vpc_id: str, subnet_ids: tuple[str, ...]) -> bool:
    """Tell whether each subnet has a route to an internet gateway of the VPC."""
    gateways = {
        item["InternetGatewayId"]
        for item in ec2.describe_internet_gateways()["InternetGateways"]
        if any(home["VpcId"] == vpc_id for home in item["Attachments"])
    }
    tables = ec2.describe_route_tables()["RouteTables"]
    return len(subnet_ids) == 3 and all(
        any(
            any(home.get("SubnetId") == subnet for home in table["Associations"])
            and any(
                route.get("DestinationCidrBlock") == "0.0.0.0/0"
                and route.get("GatewayId") in gateways
                for route in table["Routes"]
            )
            for table in tables
        )
        for subnet in subnet_ids
    )


def test_a_network_of_our_own(
    harness: FargateHarness, ec2: Any, session: Session, logger: ClusterLogger
) -> None:
    vpc_id, subnet_ids = make(session, logger)
    vpc = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]
    assert vpc["CidrBlock"] == "10.213.0.0/16"
    for name in ("enableDnsHostnames", "enableDnsSupport"):
        answer = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute=name)
        assert answer[name[0].upper() + name[1:]]["Value"]
    subnets = ec2.describe_subnets(SubnetIds=list(subnet_ids))["Subnets"]
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 3
    assert complete(ec2, vpc_id, subnet_ids)
    parts = harness.left()
    assert {kind: len(items) for kind, items in parts.items()} == {
        "vpcs": 1,
        "subnets": 3,
        "internet_gateways": 1,
        "route_tables": 1,
    } | ({"security_groups": 0} if "security_groups" in parts else {})
    for kind in ("vpcs", "subnets", "internet_gateways", "route_tables"):
        for identifier in parts[kind]:
            found = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [identifier]}])
            assert parsed(found["Tags"])[INFRASTRUCTURE] == "lab"
            assert parsed(found["Tags"])[MADE_BY] == session.made_by


def test_a_network_that_is_there_is_only_read(
    harness: FargateHarness, aws: AWS, session: Session, logger: ClusterLogger
) -> None:
    first = make(session, logger)
    harness.clear_calls()
    assert make(Session(aws, session.options), logger) == first
    assert len(harness.calls()) == 4
    assert changes(harness) == []


def test_another_ecs_cluster_has_another_network(
    aws: AWS, session: Session, logger: ClusterLogger
) -> None:
    other = Session(aws, Options(cluster_name="lab-2"))
    assert make(session, logger)[0] != make(other, logger)[0]


STEPS = [
    ("CreateVpc", 0),
    ("ModifyVpcAttribute", 0),
    ("DescribeAvailabilityZones", 0),
    ("CreateSubnet", 0),
    ("CreateSubnet", 2),
    ("CreateInternetGateway", 0),
    ("AttachInternetGateway", 0),
    ("CreateRouteTable", 0),
    ("CreateRoute", 0),
    ("AssociateRouteTable", 0),
    ("AssociateRouteTable", 2),
]


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(("action", "skip"), STEPS)
def test_a_network_of_a_session_that_died_is_completed(
    harness: FargateHarness,
    ec2: Any,
    aws: AWS,
    session: Session,
    logger: ClusterLogger,
    action: str,
    skip: int,
    after_effect: bool,
) -> None:
    harness.fail(action, "ValidationError", "no", skip=skip, after_effect=after_effect)
    with pytest.raises(AWSError) as caught:
        make(session, logger)
    assert caught.value.code == "ValidationError"
    vpc_id, subnet_ids = make(Session(aws, session.options), logger)
    assert complete(ec2, vpc_id, subnet_ids)
    assert ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsHostnames")[
        "EnableDnsHostnames"
    ]["Value"]
    assert {kind: len(items) for kind, items in harness.left().items()} == {
        "vpcs": 1,
        "subnets": 3,
        "internet_gateways": 1,
        "route_tables": 1,
    }


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("CreateSubnet", "InvalidSubnet.Conflict"),
        ("AttachInternetGateway", "Resource.AlreadyAssociated"),
        ("CreateRoute", "RouteAlreadyExists"),
        ("AssociateRouteTable", "Resource.AlreadyAssociated"),
    ],
)
def test_what_another_session_does_meanwhile_counts_as_done(
    harness: FargateHarness,
    ec2: Any,
    session: Session,
    logger: ClusterLogger,
    action: str,
    code: str,
) -> None:
    # The effect is there, and AWS says that it was there before.
    harness.fail(action, code, "somebody was faster", after_effect=True)
    assert complete(ec2, *make(session, logger))


def test_a_gateway_that_another_session_attached_first_is_used(
    harness: FargateHarness, ec2: Any, session: Session, logger: ClusterLogger
) -> None:
    vpc_id, _ = make(session, logger)
    (gateway,) = harness.left()["internet_gateways"]
    maker = own_network.OwnNetwork(session.aws, session.options, session.tags, logger)
    harness.fail("AttachInternetGateway", "Resource.AlreadyAssociated", "there is one")
    # As seen before the other session was there.
    assert maker._attach_gateway(vpc_id, []) == gateway
    assert harness.left()["internet_gateways"] == [gateway]


def test_a_gateway_that_cannot_be_attached_is_an_error(
    harness: FargateHarness, session: Session, logger: ClusterLogger
) -> None:
    harness.fail("AttachInternetGateway", "InvalidParameterValue", "no")
    with pytest.raises(AWSError, match="AttachInternetGateway"):
        make(session, logger)


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("CreateSubnet", "InvalidVpcID.NotFound"),
        ("AttachInternetGateway", "InvalidInternetGatewayID.NotFound"),
        ("AssociateRouteTable", "InvalidRouteTableID.NotFound"),
    ],
)
def test_what_aws_does_not_know_yet_is_waited_for(
    harness: FargateHarness,
    ec2: Any,
    session: Session,
    logger: ClusterLogger,
    caplog: pytest.LogCaptureFixture,
    action: str,
    code: str,
) -> None:
    harness.fail(action, code, "not yet", times=2)
    assert complete(ec2, *make(session, logger))
    assert f"Waiting for AWS to know what {action} is about" in caplog.text


def test_what_aws_never_knows_is_an_error_in_the_end(
    harness: FargateHarness, aws: AWS, logger: ClusterLogger
) -> None:
    session = Session(aws, Options(cluster_name="lab", start_timeout=0.01))
    harness.fail("CreateSubnet", "InvalidVpcID.NotFound", "not yet", times=1000)
    with pytest.raises(AWSTimeoutError, match=r"0\.01 s for AWS to know .*CreateSubnet.*not yet"):
        make(session, logger)


def test_a_vpc_made_twice_since_an_answer_was_lost_is_one_in_the_end(
    harness: FargateHarness, ec2: Any, session: Session, logger: ClusterLogger
) -> None:
    harness.fail("CreateVpc", "InternalError", "lost", status=500, after_effect=True)
    assert complete(ec2, *make(session, logger))
    assert changes(harness).count("CreateVpc") == 2
    assert len(harness.left()["vpcs"]) == 1


def test_of_two_vpcs_all_sessions_take_the_same_and_leave_that_of_others(
    harness: FargateHarness, ec2: Any, aws: AWS, session: Session, logger: ClusterLogger
) -> None:
    tags = [{"Key": INFRASTRUCTURE, "Value": "lab"}, {"Key": MADE_BY, "Value": "another"}]
    made = [
        ec2.create_vpc(
            CidrBlock="10.213.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}]
        )["Vpc"]["VpcId"]
        for _ in range(2)
    ]
    assert make(session, logger)[0] == min(made)
    assert make(Session(aws, session.options), logger)[0] == min(made)
    assert harness.left()["vpcs"] == sorted(made)


def test_a_vpc_that_another_session_makes_at_the_same_time_is_the_one_of_both(
    harness: FargateHarness,
    ec2: Any,
    session: Session,
    logger: ClusterLogger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tags = [{"Key": INFRASTRUCTURE, "Value": "lab"}, {"Key": MADE_BY, "Value": "another"}]
    theirs = [
        ec2.create_vpc(
            CidrBlock="10.213.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}]
        )["Vpc"]["VpcId"]
        for _ in range(4)
    ]
    listed = own_network.OwnNetwork._vpcs
    first = iter([True])

    def vpcs(self: own_network.OwnNetwork) -> list[dict[str, Any]]:
        # The first listing is before any of them was made.
        return [] if next(first, False) else listed(self)

    monkeypatch.setattr(own_network.OwnNetwork, "_vpcs", vpcs)
    chosen, _ = make(session, logger)
    assert changes(harness).count("CreateVpc") == len(theirs) + 1
    assert chosen == min([chosen, *theirs])
    assert set(harness.left()["vpcs"]) == {chosen, *theirs}


def test_sessions_that_start_together_both_have_a_network(
    harness: FargateHarness, ec2: Any, boto: Any, logger: ClusterLogger
) -> None:
    options = Options(cluster_name="lab")
    sessions = [
        Session(AWS(session=boto, region=REGION, endpoint_url=harness.endpoint_url), options)
        for _ in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        sites = list(pool.map(lambda one: one.infrastructure.ensure(one.tags, logger), sessions))
    for site in sites:
        assert complete(ec2, site.vpc_id, site.subnet_ids)
        assert group_of(ec2, site.security_group_id)["VpcId"] == site.vpc_id
    sessions[0].infrastructure.remove(logger, 10.0)
    assert harness.left() == {}


def test_only_zones_in_which_fargate_runs_get_a_subnet(
    ec2: Any, session: Session, logger: ClusterLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    last = max(zones, key=lambda zone: str(zone["ZoneName"]))
    monkeypatch.setitem(own_network._FARGATE_ZONES, REGION, {last["ZoneId"]})
    _, subnet_ids = make(session, logger)
    (subnet,) = ec2.describe_subnets(SubnetIds=list(subnet_ids))["Subnets"]
    assert subnet["AvailabilityZone"] == last["ZoneName"]


def test_a_region_without_fargate_is_told(
    session: Session, logger: ClusterLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(own_network._FARGATE_ZONES, REGION, {"none"})
    with pytest.raises(ResourceError, match="us-east-1 has no zone in which Fargate runs"):
        make(session, logger)


def test_given_subnets_are_taken_as_they_are(
    harness: FargateHarness, aws: AWS, given: dict[str, Any], logger: ClusterLogger
) -> None:
    harness.clear_calls()
    session = Session(aws, Options(subnet_ids=tuple(given["subnets"]), vpc_id=given["vpc"]))
    assert make(session, logger) == (given["vpc"], tuple(given["subnets"]))
    assert [call.action for call in harness.calls("ec2")] == ["DescribeSubnets"]


@pytest.mark.parametrize(("public", "count"), [(True, 1), (False, 2)])
def test_a_given_vpc_gives_those_of_its_subnets_that_reach_the_internet(
    aws: AWS, given: dict[str, Any], logger: ClusterLogger, public: bool, count: int
) -> None:
    session = Session(aws, Options(vpc_id=given["vpc"], assign_public_ip=public))
    assert make(session, logger)[1] == tuple(sorted(given["subnets"][:count]))


def test_subnets_of_a_main_route_table_that_leads_out_are_public(
    ec2: Any, aws: AWS, given: dict[str, Any], logger: ClusterLogger
) -> None:
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [given["vpc"]]}])
    (main,) = [
        table["RouteTableId"]
        for table in tables["RouteTables"]
        if any(home.get("Main") for home in table["Associations"])
    ]
    ec2.create_route(
        RouteTableId=main, DestinationCidrBlock="0.0.0.0/0", GatewayId=given["gateway"]
    )
    session = Session(aws, Options(vpc_id=given["vpc"]))
    assert make(session, logger)[1] == tuple(sorted(given["subnets"]))


def test_a_given_network_that_does_not_fit_is_refused(
    ec2: Any, aws: AWS, given: dict[str, Any]
) -> None:
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    far = ec2.create_subnet(VpcId=other, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    empty = ec2.create_vpc(CidrBlock="10.2.0.0/16")["Vpc"]["VpcId"]
    near = given["subnets"][0]
    for options, words in (
        (Options(subnet_ids=(near, "subnet-0")), r"names subnet-0, which do not exist in us-east"),
        (Options(subnet_ids=(near, far)), r"are in several VPCs \(vpc-"),
        (Options(subnet_ids=(near,), vpc_id=other), f"are in {given['vpc']}: leave vpc_id out"),
        (Options(subnet_ids=(near,) * 17), "names 17 subnets: ECS takes at most 16"),
        (Options(vpc_id="vpc-0"), "vpc_id='vpc-0' does not exist in us-east-1, or has no subnets"),
        (Options(vpc_id=empty), "or has no subnets"),
        (Options(vpc_id=other), "no subnet with a route to an internet gateway"),
    ):
        with pytest.raises(ResourceError, match=words):
            Infrastructure(aws, options).verify()


def test_a_given_group_that_does_not_fit_is_refused(aws: AWS, given: dict[str, Any]) -> None:
    near, group = tuple(given["subnets"]), given["group"]
    far = Options(
        vpc_id=Session(aws, Options()).aws.call("ec2", "DescribeVpcs")["Vpcs"][0]["VpcId"]
    )
    for options, words in (
        (Options(subnet_ids=near, security_group_id="sg-0"), "'sg-0' does not exist in us-east-1"),
        (Options(vpc_id=far.vpc_id, assign_public_ip=False, security_group_id=group), "is of the"),
        (Options(security_group_id=group), f"give vpc_id='{given['vpc']}' too"),
    ):
        with pytest.raises(ResourceError, match=words):
            Infrastructure(aws, options).verify()


@pytest.fixture
def site(session: Session, logger: ClusterLogger) -> Site:
    return session.infrastructure.ensure(session.tags, logger)


def test_a_group_of_our_own_lets_in_itself_and_nothing_else(ec2: Any, site: Site) -> None:
    group = group_of(ec2, site.security_group_id)
    (rule,) = group["IpPermissions"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 0, 65535)
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [site.security_group_id]
    assert rule["IpRanges"] == []
    assert group["Description"].startswith("dockerparallel queue arn:aws:")


def test_the_client_is_let_in_and_shut_out_any_number_of_times(
    ec2: Any, session: Session, site: Site
) -> None:
    for _ in range(2):
        session.infrastructure.let_in(site, MINE, PORT, session.tags)
        rules = group_of(ec2, site.security_group_id)["IpPermissions"]
        (opened,) = [rule for rule in rules if rule["IpRanges"]]
        assert (opened["IpProtocol"], opened["FromPort"], opened["ToPort"]) == ("tcp", PORT, PORT)
        assert [item["CidrIp"] for item in opened["IpRanges"]] == [MINE]
    listed = ec2.describe_security_group_rules()["SecurityGroupRules"]
    (rule,) = [item for item in listed if item.get("CidrIpv4") == MINE]
    assert parsed(rule["Tags"])[MADE_BY] == session.made_by
    # As a session that has crashed has left it.
    session.infrastructure.let_in(site, "198.51.100.1/32", PORT + 1, session.tags)
    for which in (site, site.security_group_id):
        session.infrastructure.shut_out(which)
        (rule,) = group_of(ec2, site.security_group_id)["IpPermissions"]
        assert rule["UserIdGroupPairs"]
        assert not rule["IpRanges"]


def test_a_full_group_is_told(harness: FargateHarness, session: Session, site: Site) -> None:
    harness.fail("AuthorizeSecurityGroupIngress", "RulesPerSecurityGroupLimitExceeded", "60")
    with pytest.raises(ResourceError, match="is full of rules: remove those"):
        session.infrastructure.let_in(site, MINE, PORT, session.tags)


def test_other_errors_of_rules_are_raised(
    harness: FargateHarness, session: Session, site: Site
) -> None:
    harness.fail("AuthorizeSecurityGroupIngress", "ValidationError", "no")
    with pytest.raises(AWSError, match="AuthorizeSecurityGroupIngress"):
        session.infrastructure.let_in(site, MINE, PORT, session.tags)
    session.infrastructure.let_in(site, MINE, PORT, session.tags)
    harness.fail("RevokeSecurityGroupIngress", "ValidationError", "no")
    with pytest.raises(AWSError, match="RevokeSecurityGroupIngress"):
        session.infrastructure.shut_out(site)


def test_a_group_that_another_session_makes_at_the_same_time_is_used(
    harness: FargateHarness, session: Session, logger: ClusterLogger
) -> None:
    harness.fail("CreateSecurityGroup", "InvalidGroup.Duplicate", "there", after_effect=True)
    site = session.infrastructure.ensure(session.tags, logger)
    assert harness.left()["security_groups"] == [site.security_group_id]


def test_a_group_of_our_name_that_is_not_ours_is_refused(
    ec2: Any, session: Session, logger: ClusterLogger
) -> None:
    vpc_id, _ = make(session, logger)
    ec2.create_security_group(GroupName="dockerparallel-lab", Description="x", VpcId=vpc_id)
    with pytest.raises(ResourceError, match="that DockerParallel has not made: rename it"):
        session.infrastructure.ensure(session.tags, logger)


def test_a_group_without_its_rule_gets_it(
    ec2: Any, session: Session, site: Site, logger: ClusterLogger
) -> None:
    before = group_of(ec2, site.security_group_id)["IpPermissions"]
    ec2.revoke_security_group_ingress(GroupId=site.security_group_id, IpPermissions=before)
    session.infrastructure.ensure(session.tags, logger)
    assert len(group_of(ec2, site.security_group_id)["IpPermissions"]) == 1


def rule(first: int, last: int, **source: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": first, "ToPort": last, **source}


def test_rules_of_a_given_group_are_looked_at_and_never_changed(
    harness: FargateHarness, ec2: Any, aws: AWS, given: dict[str, Any]
) -> None:
    group = given["group"]
    from_group = {"UserIdGroupPairs": [{"GroupId": group}]}
    session = Session(aws, Options(subnet_ids=tuple(given["subnets"]), security_group_id=group))
    site = Site(given["vpc"], tuple(given["subnets"]), group, "", "", "")

    def let_in() -> None:
        session.infrastructure.let_in(site, MINE, PORT, session.tags)

    def allow(permission: dict[str, Any]) -> None:
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])

    with pytest.raises(ResourceError, match=rf"add a rule to it \(TCP, port {PORT}, .*{MINE}"):
        let_in()
    allow(rule(22, 22, IpRanges=[{"CidrIp": "0.0.0.0/0"}]))
    allow({"IpProtocol": "udp", "FromPort": 0, "ToPort": 65535, "IpRanges": [{"CidrIp": MINE}]})
    allow(rule(PORT, PORT, IpRanges=[{"CidrIp": "203.0.113.8/32"}]))
    with pytest.raises(ResourceError, match="does not let in this session"):
        let_in()
    allow(rule(6000, 7000, IpRanges=[{"CidrIp": "203.0.113.0/24"}]))
    with pytest.raises(ResourceError, match=f"does not let in its own tasks.*source {group}"):
        let_in()
    allow(rule(PORT, PORT, IpRanges=[{"CidrIp": "10.0.0.0/24"}]))
    with pytest.raises(ResourceError, match="does not let in its own tasks"):
        let_in()
    harness.clear_calls()
    before = group_of(ec2, group)["IpPermissions"]
    for permission in (
        rule(PORT, PORT, **from_group),
        rule(PORT, PORT, IpRanges=[{"CidrIp": "10.0.0.0/16"}]),
        {"IpProtocol": "-1", **from_group},
    ):
        allow(permission)
        let_in()
        session.infrastructure.shut_out(site)
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[permission])
    assert group_of(ec2, group)["IpPermissions"] == before


def test_a_rule_for_a_prefix_list_is_taken_to_hold_the_client() -> None:
    from dockerparallel_ecs_fargate_provider.security_rules import lets_in_network

    permission = rule(PORT, PORT, IpRanges=[], PrefixListIds=[{"PrefixListId": "pl-1"}])
    assert lets_in_network({"IpPermissions": [permission]}, MINE, PORT)
    assert not lets_in_network({"IpPermissions": [permission]}, MINE, PORT + 1)


def test_a_given_group_is_the_one_of_the_site(
    aws: AWS, given: dict[str, Any], logger: ClusterLogger
) -> None:
    options = Options(subnet_ids=tuple(given["subnets"]), security_group_id=given["group"])
    group = SecurityGroup(aws, options)
    assert group.ensure(given["vpc"], {}, logger) == given["group"]
