"""The networks that moto knows: the one module that reads and changes moto's EC2.

Everything here is called under the harness's lock.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.ec2.models import ec2_backends

from dockerparallel_fargate_harness.tasks import Network
from dockerparallel_fargate_harness.wire import ACCOUNT


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


def ec2(region: str) -> Any:
    """Return moto's EC2 of a region."""
    return ec2_backends[ACCOUNT][region]


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
    network.settled = True
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


def interfaces(region: str) -> list[tuple[str, set[str]]]:
    """Return the subnet and the security groups of each network interface."""
    return [
        (str(one.subnet.id), {str(group.id) for group in one.group_set})
        for one in ec2(region).enis.values()
    ]


def vpc_of(region: str, subnet_id: str) -> str:
    """Return the VPC of a subnet, empty where there is no such subnet."""
    found = subnet(region, subnet_id)
    return "" if found is None else str(found.vpc_id)


def groups_that_name(region: str, identifier: str) -> list[str]:
    """Return the other security groups whose rules name a group."""
    groups = [one for vpc in ec2(region).groups.values() for one in vpc.values()]
    return [
        str(one.id)
        for one in groups
        if one.id != identifier
        and any(
            (rule.source_group or {}).get("GroupId") == identifier
            for rule in [*one.ingress_rules, *one.egress_rules]
        )
    ]


def dependents_of_vpc(region: str, vpc: str) -> list[str]:
    """Return what is in a VPC and keeps it from being deleted."""
    here = ec2(region)
    gateways = [key for key, one in here.internet_gateways.items() if one.vpc and one.vpc.id == vpc]
    groups = [one.id for one in here.groups.get(vpc, {}).values() if one.name != "default"]
    endpoints = [key for key, one in here.vpc_end_points.items() if one.vpc_id == vpc]
    return gateways + groups + endpoints


def table_of_association(region: str, association: str) -> str:
    """Return the id of the route table of an association, or an empty text."""
    for identifier, table in ec2(region).route_tables.items():
        if association in table.all_associations_ids:
            return str(identifier)
    return ""


def forget_subnet(region: str, identifier: str) -> None:
    """Undo the associations of a deleted subnet with route tables, which moto keeps."""
    for table in ec2(region).route_tables.values():
        for association, subnet_id in list(table._associations.items()):  # noqa: SLF001
            if subnet_id == identifier:
                del table._associations[association]  # noqa: SLF001
