"""Task definitions, named by a digest of what they hold: equal ones are the same one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dockerparallel_ecs_fargate_provider import tags
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.book import listed
from dockerparallel_ecs_fargate_provider.errors import AWSError
from dockerparallel_ecs_fargate_provider.infrastructure import Site
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.records import CONTAINER_NAME

LOG_PREFIX = "dockerparallel"
"""Log streams are ``<prefix>/<container>/<task id>``."""

STOP_SECONDS = 30
"""What a task has to end by itself after SIGTERM."""

_DIGITS = 16
# Each task says its real size as an override; a definition must have one.
_LEAST_CPU, _LEAST_MEMORY = "256", "512"


class TaskDefinitions:
    """Finds and registers task definitions; each equal one is registered once.

    What is in a definition: image, roles, architecture, log group, and where its secrets are.
    Command, environment and size are a task's own.

    Parameters
    ----------
    aws, options
        Of the provider.
    """

    def __init__(self, aws: AWS, options: Options) -> None:
        self._aws = aws
        self._options = options
        self._known: dict[str, str] = {}
        self._tried: set[str] = set()

    def ensure(
        self, image: str, secrets: Mapping[str, str], site: Site, ours: Mapping[str, str]
    ) -> str:
        """Return the ARN of the definition of an image with secrets, registered if it is new.

        Parameters
        ----------
        secrets
            What ``valueFrom`` of each variable is.
        site
            With the execution role and the log group.
        ours
            Tags of one that must be registered.
        """
        content = self._content(image, secrets, site)
        family = self.family(content)
        if family not in self._known:
            self._known[family] = self._active(family) or self._register(family, content, ours)
        return self._known[family]

    def family(self, content: Mapping[str, Any]) -> str:
        """Return the name of the definition that has this content."""
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{self.prefix}{digest[:_DIGITS]}"

    def forget(self) -> None:
        """Look again: somebody has deregistered one that was known."""
        self._known.clear()

    @property
    def prefix(self) -> str:
        """What the names of all definitions of this ECS cluster begin with."""
        return f"dockerparallel-{self._options.cluster_name}-"

    def undo(self, made_by: str) -> None:
        """Deregister what this session has registered, unless a task of somebody uses it."""
        for family in sorted(self._tried):
            for arn in self._arns(family):
                answer = self._aws.call(
                    "ecs", "DescribeTaskDefinition", taskDefinition=arn, include=["TAGS"]
                )
                if tags.parsed(answer.get("tags")).get(tags.MADE_BY) == made_by:
                    self._deregister(family, arn)
        self._tried.clear()
        self.forget()

    def remove(self) -> None:
        """Deregister all definitions of this ECS cluster that no task uses; idempotent."""
        families = self._aws.pages(
            "ecs",
            "ListTaskDefinitionFamilies",
            "families",
            familyPrefix=self.prefix,
            status="ACTIVE",
        )
        for family in list(families):
            # A prefix: another ECS cluster's name may begin with ours.
            if len(family) == len(self.prefix) + _DIGITS:
                for arn in self._arns(family):
                    self._deregister(family, arn)
        self.forget()

    def _deregister(self, family: str, arn: str) -> None:
        if not listed(self._aws, self._options.cluster_name, most=1, family=family):
            self._aws.call("ecs", "DeregisterTaskDefinition", taskDefinition=arn)

    def _arns(self, family: str) -> list[str]:
        found = self._aws.pages(
            "ecs", "ListTaskDefinitions", "taskDefinitionArns", familyPrefix=family, status="ACTIVE"
        )
        return [arn for arn in found if f"/{family}:" in arn]

    def _active(self, family: str) -> str | None:
        try:
            answer = self._aws.call("ecs", "DescribeTaskDefinition", taskDefinition=family)
        except AWSError as error:
            # The code that ECS has for a family that is not there.
            if error.code != "ClientException":
                raise
            return None
        found = answer["taskDefinition"]
        return str(found["taskDefinitionArn"]) if found.get("status") == "ACTIVE" else None

    def _register(self, family: str, content: dict[str, Any], ours: Mapping[str, str]) -> str:
        # Before the call, of which the answer may be lost.
        self._tried.add(family)
        answer = self._aws.call(
            "ecs", "RegisterTaskDefinition", family=family, tags=tags.lowercase(ours), **content
        )
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def _content(self, image: str, secrets: Mapping[str, str], site: Site) -> dict[str, Any]:
        roles = {"executionRoleArn": site.execution_role_arn}
        if self._options.task_role_arn is not None:
            roles["taskRoleArn"] = self._options.task_role_arn
        container = {
            "name": CONTAINER_NAME,
            "image": image,
            "essential": True,
            "secrets": [{"name": name, "valueFrom": secrets[name]} for name in sorted(secrets)],
            # A process that reaps children and hands signals on.
            "linuxParameters": {"initProcessEnabled": True},
            "stopTimeout": STOP_SECONDS,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": site.log_group,
                    "awslogs-region": self._aws.region,
                    "awslogs-stream-prefix": LOG_PREFIX,
                },
            },
        }
        return {
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": _LEAST_CPU,
            "memory": _LEAST_MEMORY,
            "runtimePlatform": {
                "cpuArchitecture": self._options.architecture,
                "operatingSystemFamily": "LINUX",
            },
            "containerDefinitions": [container],
            **roles,
        }
