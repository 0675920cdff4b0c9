"""What is asked of EC2 about networks, and what its answers mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dockerparallel_ecs_fargate_provider import tags as tagging
from dockerparallel_ecs_fargate_provider.api import AWS

EVERYWHERE = "0.0.0.0/0"
"""The destination of a default route."""


def filters(**values: str | Iterable[str]) -> list[dict[str, Any]]:
    """Return filters of EC2; ``_`` in a name stands for ``-``."""
    return [
        {
            "Name": name.replace("_", "-"),
            "Values": [given] if isinstance(given, str) else list(given),
        }
        for name, given in values.items()
    ]


def tagged(key: str, text: str) -> list[dict[str, Any]]:
    """Return the filter of EC2 for a tag."""
    return [{"Name": f"tag:{key}", "Values": [text]}]


def tag_specification(kind: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return how EC2 takes the tags of what it makes."""
    return [{"ResourceType": kind, "Tags": tagging.capitalized(tags)}]


def listed(aws: AWS, action: str, key: str, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all pages of what a ``Describe`` action lists under ``key``.

    Raises
    ------
    AWSError
        AWS refused the call.
    """
    return list(aws.pages("ec2", action, key, token="NextToken", Filters=wanted))  # noqa: S106


def homes(gateway: Mapping[str, Any]) -> list[str]:
    """Return the VPCs to which an internet gateway is attached."""
    return [attachment["VpcId"] for attachment in gateway.get("Attachments", ())]


def attached(gateways: list[dict[str, Any]], vpc_id: str) -> str | None:
    """Return the gateway among these that is attached to a VPC, if one is."""
    for gateway in gateways:
        if vpc_id in homes(gateway):
            return str(gateway["InternetGatewayId"])
    return None


def zones_of(subnets: list[dict[str, Any]]) -> set[str]:
    """Return the zones in which subnets are."""
    return {subnet["AvailabilityZone"] for subnet in subnets}


def leads_out(table: Mapping[str, Any]) -> bool:
    """Tell whether a route table has a working default route to an internet gateway."""
    return any(
        route.get("DestinationCidrBlock") == EVERYWHERE
        and str(route.get("GatewayId", "")).startswith("igw-")
        and route.get("State") != "blackhole"
        for route in table.get("Routes", ())
    )


def associated(subnet: Mapping[str, Any], table: Mapping[str, Any]) -> bool:
    """Tell whether a route table was given to a subnet."""
    return any(
        association.get("SubnetId") == subnet["SubnetId"]
        for association in table.get("Associations", ())
    )


def all_routed(subnets: list[dict[str, Any]], tables: list[dict[str, Any]]) -> bool:
    """Tell whether each subnet has a route table that leads out."""
    return all(
        any(associated(subnet, table) and leads_out(table) for table in tables)
        for subnet in subnets
    )


def is_public(subnet: Mapping[str, Any], tables: list[dict[str, Any]]) -> bool:
    """Tell whether the route table of a subnet, or else the main one of its VPC, leads out."""
    own = [table for table in tables if associated(subnet, table)]
    main = [
        table
        for table in tables
        if any(association.get("Main") for association in table.get("Associations", ()))
    ]
    return any(leads_out(table) for table in own or main)
