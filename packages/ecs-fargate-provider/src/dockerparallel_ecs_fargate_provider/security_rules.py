"""Rules of security groups: what one is about, whom it lets in, and how it is written."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from dockerparallel_ecs_fargate_provider import tags as tagging

ALL_TCP = {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535}
"""A rule about all TCP ports, to be completed by a source."""

# What EC2 takes for descriptions of security groups and of their rules, at most 255 of them.
_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]")
_LONGEST = 255


def one_port(port: int) -> dict[str, Any]:
    """Return a rule about one TCP port, to be completed by a source."""
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}


def description(tags: Mapping[str, str]) -> str:
    """Return a description that tells people for which cluster and by whom it was made."""
    text = f"dockerparallel {tags.get(tagging.CLUSTER, '')} {tags.get(tagging.OWNER, '')}"
    return _NOT_ALLOWED.sub("_", text)[:_LONGEST]


def _covers(permission: Mapping[str, Any], port: int | None) -> bool:
    """Tell whether a rule is about a TCP port; ``None`` stands for all of them."""
    if permission["IpProtocol"] == "-1":
        return True
    first, last = permission.get("FromPort", 0), permission.get("ToPort", 65535)
    lowest, highest = (0, 65535) if port is None else (port, port)
    return permission["IpProtocol"] in {"tcp", "6"} and first <= lowest and highest <= last


def lets_in_group(group: Mapping[str, Any], group_id: str, port: int | None) -> bool:
    """Tell whether a group lets another in on a port, or on all for ``None``."""
    return any(
        _covers(permission, port)
        and any(pair.get("GroupId") == group_id for pair in permission["UserIdGroupPairs"])
        for permission in group.get("IpPermissions", ())
    )


def lets_in_network(group: Mapping[str, Any], cidr: str, port: int) -> bool:
    """Tell whether one rule of a group lets in all of a network on a port."""
    network = ipaddress.IPv4Network(cidr)
    for permission in group.get("IpPermissions", ()):
        if not _covers(permission, port):
            continue
        # What a prefix list holds is not known here: it is taken to hold it.
        if permission.get("PrefixListIds"):
            return True
        ranges = [ipaddress.IPv4Network(item["CidrIp"]) for item in permission["IpRanges"]]
        if any(network.subnet_of(allowed) for allowed in ranges):
            return True
    return False
