"""What moto knows besides networks: its ECS, IAM, parameters, secrets and logs.

Everything here is called under the harness's lock.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import ServiceException
from moto.ecs.models import Cluster, TaskDefinition, ecs_backends
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends
from werkzeug.exceptions import HTTPException

from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.wire import ACCOUNT

PARTITION = "aws"


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


def cluster(region: str, name_or_arn: str) -> Cluster | None:
    """Return an active ECS cluster, if there is one."""
    found = ecs_backends[ACCOUNT][region].clusters.get(name_or_arn.rpartition("/")[2])
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
    name, _, revision = name_or_arn.rpartition("/")[2].partition(":")
    known = ecs_backends[ACCOUNT][region].task_definitions.get(name, {})
    active = [number for number, one in known.items() if one.status == "ACTIVE"]
    number = int(revision) if revision.isdigit() else max(active, default=0)
    if number not in known or (revision and not revision.isdigit()):
        raise AwsError("ClientException", "TaskDefinition not found.")
    return known[number]


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
        found = secretsmanager_backends[ACCOUNT][region].get_secret_value(arn, version, stage)
    except (ServiceException, HTTPException, KeyError):
        # moto has these ways to say that there is none.
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
