"""What moto knows: the one module that reads and changes moto's own objects.

Everything here is called under the harness's lock.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import ServiceException
from moto.ec2.models import ec2_backends
from moto.ecs.models import Cluster, TaskDefinition, ecs_backends
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends

from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.tasks import Network
from dockerparallel_fargate_harness.wire import ACCOUNT

PARTITION = "aws"


@dataclass(frozen=True)
class Rule:
    """One rule of a security group for what comes in.

    Parameters
    ----------
    protocol : str
        ``"tcp"``, ``"udp"``, ``"icmp"``, or ``"-1"`` for all.
    first, last : int
        The range of ports; 0 and 65535 for all.
    cidr : str
        The IPv4 source, empty where the source is a group.
    group : str
        The id of the group that is the source, or empty.
    """

    protocol: str
    first: int
    last: int
    cidr: str
    group: str

    def admits(self, address: str) -> bool:
        """Tell whether the source of the rule contains an IPv4 address."""
        return bool(self.cidr) and ipaddress.ip_address(address) in ipaddress.ip_network(
            self.cidr, strict=False
        )


@dataclass(frozen=True)
class Role:
    """A role of IAM.

    Parameters
    ----------
    arn, name : str
        Its ARN and name.
    trust : dict
        Its trust policy.
    policies : list of dict
        Its inline and attached policies.
    """

    arn: str
    name: str
    trust: dict[str, Any]
    policies: list[dict[str, Any]]


def ec2(region: str) -> Any:
    """Return moto's EC2 of a region."""
    return ec2_backends[ACCOUNT][region]


def cluster(region: str, name_or_arn: str) -> Cluster | None:
    """Return an active ECS cluster, if there is one."""
    found = ecs_backends[ACCOUNT][region].clusters.get(name_or_arn.split("/")[-1])
    return found if found is not None and found.status == "ACTIVE" else None


def clusters(region: str) -> list[Cluster]:
    """Return all ECS clusters, also the inactive ones."""
    return list(ecs_backends[ACCOUNT][region].clusters.values())


def task_definition(region: str, name_or_arn: str) -> TaskDefinition:
    """Return a task definition, the newest active revision where none is given.

    Raises
    ------
    AwsError
        There is none.
    """
    name, _, revision = name_or_arn.split("/")[-1].partition(":")
    known = ecs_backends[ACCOUNT][region].task_definitions.get(name, {})
    active = [number for number, one in known.items() if one.status == "ACTIVE"]
    number = int(revision) if revision.isdigit() else max(active, default=0)
    if number not in known or (revision and not revision.isdigit()):
        raise AwsError("ClientException", "TaskDefinition not found.")
    return known[number]


def subnet(region: str, identifier: str) -> Any:
    """Return moto's subnet, or None."""
    for zone in ec2(region).subnets.values():
        if identifier in zone:
            return zone[identifier]
    return None


def security_group(region: str, identifier: str) -> Any:
    """Return moto's security group, or None."""
    return ec2(region).get_security_group_from_id(identifier)


def default_group(region: str, vpc: str) -> str:
    """Return the id of a VPC's default security group."""
    return str(ec2(region).get_default_security_group(vpc).id)


def ingress(region: str, group: str) -> list[Rule]:
    """Return the rules of a security group for IPv4 that comes in."""
    found = security_group(region, group)
    rules = []
    for rule in found.ingress_rules if found is not None else []:
        first, last = rule.from_port, rule.to_port
        everything = rule.ip_protocol == "-1" or first in {None, -1}
        rules.append(
            Rule(
                protocol=str(rule.ip_protocol),
                first=0 if everything else int(first),
                last=65535 if everything else int(last),
                cidr=(rule.ip_range or {}).get("CidrIp") or "",
                group=(rule.source_group or {}).get("GroupId") or "",
            )
        )
    return rules


def create_interface(region: str, network: Network) -> None:
    """Make the network interface of a task, with an address of its subnet for the time being."""
    interface = ec2(region).create_network_interface(
        subnet=network.subnet,
        private_ip_address=[],
        group_ids=network.groups,
        description=f"arn:aws:ecs:{region}:{ACCOUNT}:attachment/{network.attachment}",
    )
    interface.status = "in-use"
    # moto leaves it out where the VPC gives no DNS host names, and answers 500 later.
    if getattr(interface, "private_dns_name", None) is None:
        interface.private_dns_name = None
    network.interface, network.mac = interface.id, interface.mac_address
    network.private_address = str(interface.private_ip_address)


def set_addresses(region: str, network: Network) -> None:
    """Give a task's network interface the addresses that the task really has."""
    interface = ec2(region).enis.get(network.interface)
    if interface is None:
        return
    interface.private_ip_address = network.private_address
    interface.private_ip_addresses = [
        {"Primary": True, "PrivateIpAddress": network.private_address}
    ]
    interface.public_ip = network.public_address or None
    for address in interface.private_ip_addresses if interface.public_ip else []:
        address["Association"] = interface.association


def delete_interface(region: str, identifier: str) -> None:
    """Delete a task's network interface."""
    ec2(region).enis.pop(identifier, None)


def routes_to(region: str, subnet_id: str, destination: str = "0.0.0.0/0") -> Iterator[str]:
    """Yield the ids of the gateways to which a subnet's route table sends a destination."""
    vpc = subnet(region, subnet_id).vpc_id
    tables = [table for table in ec2(region).route_tables.values() if table.vpc_id == vpc]
    own = [table for table in tables if subnet_id in table._associations.values()]  # noqa: SLF001
    for table in own or [table for table in tables if table.main_association_id]:
        for route in table.routes:
            if route.destination_cidr_block == destination:
                yield str(route.gateway_id or route.nat_gateway_id or "")


def endpoints_of(region: str, vpc: str) -> set[str]:
    """Return the services, such as ``"ecr.api"``, for which a VPC has endpoints."""
    found = ec2(region).vpc_end_points.values()
    services = (endpoint.service_name for endpoint in found if endpoint.vpc_id == vpc)
    return {name.removeprefix(f"com.amazonaws.{region}.") for name in services}


def role(name_or_arn: str) -> Role | None:
    """Return a role by its name or ARN, or None."""
    for found in iam_backends[ACCOUNT][PARTITION].roles.values():
        if name_or_arn in {found.arn, found.name}:
            inline = [json.loads(policy) for policy in found.policies.values()]
            attached = [_document(policy) for policy in found.managed_policies.values()]
            trust = json.loads(found.assume_role_policy_document or "{}")
            return Role(found.arn, found.name, trust, inline + attached)
    return None


def _document(policy: Any) -> dict[str, Any]:
    current = next(version for version in policy.versions if version.is_default)
    document: dict[str, Any] = json.loads(current.document)
    return document


def parameter(region: str, name_or_arn: str) -> str | None:
    """Return the value of an SSM parameter in plain text, or None."""
    name = name_or_arn.partition(":parameter")[2] or name_or_arn
    for candidate in (name, name.removeprefix("/")):
        if (found := ssm_backends[ACCOUNT][region].get_parameter(candidate)) is not None:
            shown = found.response_object(decrypt=True, region=region)
            return str(shown["Value"])
    return None


def secret(region: str, arn: str, stage: str, version: str) -> tuple[str, str] | None:
    """Return the ARN and text of a secret of Secrets Manager, or None."""
    try:
        found = secretsmanager_backends[ACCOUNT][region].get_secret_value(
            arn, version or None, stage or None
        )
    except (ServiceException, KeyError):
        # moto has several ways to say that there is none.
        return None
    return str(found["ARN"]), str(found.get("SecretString", ""))


def has_log_group(region: str, name: str) -> bool:
    """Tell whether a log group exists."""
    return name in logs_backends[ACCOUNT][region].groups


def create_log_group(region: str, name: str) -> None:
    """Create a log group unless it exists."""
    logs_backends[ACCOUNT][region].ensure_log_group(name)


def create_log_stream(region: str, group: str, stream: str) -> None:
    """Create a log stream unless it exists."""
    logs_backends[ACCOUNT][region].ensure_log_stream(group, stream)


def put_log_events(region: str, group: str, stream: str, events: list[dict[str, Any]]) -> None:
    """Add events to a log stream; without effect where it was deleted meanwhile."""
    if events and has_log_group(region, group):
        backend = logs_backends[ACCOUNT][region]
        if stream in backend.groups[group].streams:
            backend.put_log_events(group, stream, events)
