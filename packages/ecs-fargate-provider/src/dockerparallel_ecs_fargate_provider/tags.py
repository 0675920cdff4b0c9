"""The tags that everything of ours has, by which it is found, told apart and removed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from dockerparallel_ecs_fargate_provider._version import __version__

INFRASTRUCTURE = "dockerparallel:infrastructure"
"""``cluster_name`` of the ECS cluster to which it belongs; on everything that is ours."""
CLUSTER = "dockerparallel:cluster"
"""``job_queue_name`` of the cluster that it was made for; others may use it too."""
CLUSTER_ID = "dockerparallel:cluster-id"
"""Which of the clusters of that name, as one may follow another."""
ROLE = "dockerparallel:role"
"""``server`` or ``worker``, on tasks."""
WORKERS = "dockerparallel:workers"
"""How many workers a task runs."""
CPU = "dockerparallel:cpu"
MEMORY = "dockerparallel:memory"
"""Size of a task, in units of 1/1024 vCPU and in MiB."""
OWNER = "dockerparallel:owner"
"""ARN of who made it, for people."""
OWNER_ID = "dockerparallel:owner-id"
"""Unique id of who made it: what IAM calls ``aws:userid``, so that policies can compare it."""
CREATED = "dockerparallel:created"
EXPIRES = "dockerparallel:expires"
"""Times in UTC, such as ``2026-11-25T10:00:00Z``."""
VERSION = "dockerparallel:version"
MADE_BY = "dockerparallel:made-by"
"""Random text of the session that made it, so that a start that failed can take it back."""

_NOT_ALLOWED = re.compile(r"[^\w \-+=.:/@]")
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def text_of(moment: datetime) -> str:
    """Return a moment as it stands in tags."""
    return moment.astimezone(UTC).strftime(_TIME)


def moment_of(text: str) -> datetime | None:
    """Return the moment that a tag tells, or ``None`` where it tells none."""
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def value(text: str) -> str:
    """Return a text as AWS takes it for the value of a tag."""
    return _NOT_ALLOWED.sub("_", text)[:256]


def capitalized(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as EC2, IAM, SSM and Secrets Manager take them."""
    return [{"Key": key, "Value": text} for key, text in tags.items()]


def lowercase(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as ECS takes them."""
    return [{"key": key, "value": text} for key, text in tags.items()]


def parsed(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """Return tags in either of the two forms as a dict."""
    found = {}
    for tag in tags or ():
        lowered = {name.lower(): text for name, text in tag.items()}
        found[lowered["key"]] = lowered["value"]
    return found


def ours(
    infrastructure: str,
    *,
    cluster: str,
    cluster_id: str,
    owner: str,
    owner_id: str,
    made_by: str,
    created: datetime,
    expires: datetime,
) -> dict[str, str]:
    """Return the tags of everything that is made for a cluster."""
    tags = {
        INFRASTRUCTURE: infrastructure,
        CLUSTER: cluster,
        CLUSTER_ID: cluster_id,
        OWNER: owner,
        OWNER_ID: owner_id,
        CREATED: text_of(created),
        EXPIRES: text_of(expires),
        VERSION: __version__,
        MADE_BY: made_by,
    }
    return {key: value(text) for key, text in tags.items()}
