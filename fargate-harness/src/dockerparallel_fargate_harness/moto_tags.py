"""The ARNs and tags of what moto has, for the conditions of policies.

Everything here is called under the harness's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends

from dockerparallel_fargate_harness import moto_network, moto_state
from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.wire import ACCOUNT


def tags_of(region: str, arn: str) -> dict[str, str]:
    """Return the tags of a resource that moto knows, empty for any other."""
    if arn == "*":
        return {}
    by_service = {
        "ec2": _ec2,
        "ecs": _ecs,
        "iam": _iam,
        "ssm": _ssm,
        "secretsmanager": _secretsmanager,
        "logs": _logs,
    }.get(arn.split(":")[2])
    return by_service(region, arn) if by_service else {}


def secret_arn(region: str, identifier: str) -> str:
    """Return the ARN of a secret by its name or ARN; that of a missing one is made up."""
    for found in secretsmanager_backends[ACCOUNT][region].secrets.values():
        if identifier in {found.name, found.arn}:
            return str(found.arn)
    if identifier.startswith("arn:"):
        return identifier
    return f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:{identifier}-AbCdEf"


def _ec2(region: str, arn: str) -> dict[str, str]:
    tags = moto_network.ec2(region).tags.get(arn.rpartition("/")[2], {})
    return {str(key): str(value) for key, value in tags.items()}


def _ecs(region: str, arn: str) -> dict[str, str]:
    if ":cluster/" in arn:
        cluster = moto_state.cluster(region, arn)
        return _pairs(cluster.tags if cluster is not None else None)
    if ":task-definition/" not in arn:
        return {}
    try:
        return _pairs(moto_state.task_definition(region, arn).tags)
    except AwsError:
        # What is not there has no tags.
        return {}


def _iam(_region: str, arn: str) -> dict[str, str]:
    for role in iam_backends[ACCOUNT][moto_state.PARTITION].roles.values():
        if role.arn == arn:
            return _pairs(role.tags)
    return {}


def _ssm(region: str, arn: str) -> dict[str, str]:
    name = arn.partition(":parameter/")[2]
    known = ssm_backends[ACCOUNT][region]._resource_tags["Parameter"]  # noqa: SLF001
    found = known.get(f"/{name}") or known.get(name) or {}
    return {str(key): str(value) for key, value in found.items()}


def _secretsmanager(region: str, arn: str) -> dict[str, str]:
    for secret in secretsmanager_backends[ACCOUNT][region].secrets.values():
        if secret.arn == arn:
            return _pairs(secret.tags)
    return {}


def _logs(region: str, arn: str) -> dict[str, str]:
    group = arn.partition(":log-group:")[2].partition(":")[0]
    found = logs_backends[ACCOUNT][region].groups.get(group)
    if found is None:
        return {}
    tags: Mapping[str, Any] = logs_backends[ACCOUNT][region].list_tags_for_resource(found.arn)
    return {str(key): str(value) for key, value in tags.items()}


def _pairs(tags: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    return {
        str(tag.get("key", tag.get("Key"))): str(tag.get("value", tag.get("Value")) or "")
        for tag in tags or []
    }
