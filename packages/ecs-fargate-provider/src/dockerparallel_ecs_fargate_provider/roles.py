"""The roles of the tasks: those of the user, which are only looked at, and one of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider import tags as tagging
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.errors import (
    AWSError,
    AWSPermissionError,
    ResourceError,
)
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.role_policies import (
    SERVICE,
    execution_role_policy,
    log_group_of,
    role_name,
    trust_policy,
)
from dockerparallel_ecs_fargate_provider.settling import is_missing, settled

POLICY_NAME = "dockerparallel"
"""Of the one inline policy of our role."""

_LISTED_BY = "that 'aws iam list-roles' lists"


class Roles:
    """Finds, checks or makes the execution role, and checks a given task role; thread-safe.

    Parameters
    ----------
    aws, options
        Of the provider.
    """

    def __init__(self, aws: AWS, options: Options) -> None:
        self._aws = aws
        self._options = options

    @property
    def name(self) -> str:
        """The execution role of our own."""
        return role_name(self._options.cluster_name, self._aws.region)

    def verify(self) -> None:
        """Look at the roles that the user gave; one read each.

        A caller that may not read roles passes: AWS itself refuses a task whose role is wrong.

        Raises
        ------
        ResourceError
            One does not exist, is of another account, or does not let ECS assume it.
        AWSError
            AWS refused a call for another reason.
        """
        for option in ("execution_role_arn", "task_role_arn"):
            arn = getattr(self._options, option)
            if arn is not None:
                self._verify(option, arn)

    def ensure(self, tags: Mapping[str, str], logger: ClusterLogger) -> str:
        """Return the ARN of the execution role, made first where it has to be.

        Two reads where it is there. Idempotent, also among sessions. A role of our name that has
        not our tag is used as it is. May block for ``start_timeout`` until IAM shows a new role;
        other parts of AWS may know it only some seconds later.

        Raises
        ------
        AWSError
            AWS refused a call; a role made until then has ``tags``.
        AWSTimeoutError
            IAM did not show the role.
        """
        if self._options.execution_role_arn is not None:
            return self._options.execution_role_arn
        role = self._find()
        if role is None:
            logger.info("Making the role %s.", self.name)
            role = self._make(tags, logger)
        if self._is_ours(role, tagging.INFRASTRUCTURE, self._options.cluster_name):
            self._renew_policy(logger)
        return str(role["Arn"])

    def remove(self, key: str, text: str) -> None:
        """Remove the role of our own if it has this tag, its policy first; idempotent.

        Where the user gave one, none of ours is looked for.

        Raises
        ------
        AWSError
            AWS refused a call, for example since someone attached a policy to it.
        """
        if self._options.execution_role_arn is not None:
            return
        role = self._find()
        if role is None or not self._is_ours(role, key, text):
            return
        for action, more in (
            ("DeleteRolePolicy", {"PolicyName": POLICY_NAME}),
            ("DeleteRole", {}),
        ):
            try:
                self._aws.call("iam", action, RoleName=self.name, **more)
            except AWSError as error:
                # Gone already, which is what was asked for.
                if not is_missing(error):
                    raise

    def _verify(self, option: str, arn: str) -> None:
        account = self._aws.identity.account
        if arn.split(":")[4] != account:
            raise ResourceError(
                f"{option}={arn!r} is of account {arn.split(':')[4]}, and the credentials are of "
                f"{account}: give a role of the same account {_LISTED_BY}."
            )
        try:
            role = self._aws.call("iam", "GetRole", RoleName=arn.rpartition("/")[2])["Role"]
        except AWSPermissionError:
            # To read roles is not needed to run tasks with them.
            return
        except AWSError as error:
            if not is_missing(error):
                raise
            raise ResourceError(
                f"{option}={arn!r} does not exist: give a role {_LISTED_BY}.",
                code=error.code,
                text=error.text,
            ) from error
        if role["Arn"] != arn:
            raise ResourceError(f"{option}={arn!r} does not exist: did you mean {role['Arn']!r}?")
        if not _trusts_tasks(role["AssumeRolePolicyDocument"]):
            raise ResourceError(
                f"{option}={arn!r} does not let tasks assume it: its trust policy must allow "
                f"sts:AssumeRole to the service {SERVICE}."
            )

    def _find(self) -> dict[str, Any] | None:
        try:
            role: dict[str, Any] = self._aws.call("iam", "GetRole", RoleName=self.name)["Role"]
        except AWSError as error:
            if not is_missing(error):
                raise
            return None
        return role

    def _make(self, tags: Mapping[str, str], logger: ClusterLogger) -> dict[str, Any]:
        try:
            self._aws.call(
                "iam",
                "CreateRole",
                RoleName=self.name,
                AssumeRolePolicyDocument=_text(trust_policy(self._aws.identity.account)),
                Description="Starts the tasks of DockerParallel: images, secrets and logs.",
                Tags=tagging.capitalized(tags),
            )
        except AWSError as error:
            # Made by another session at this moment, or by us if an answer was lost.
            if error.code not in {"EntityAlreadyExists", "EntityAlreadyExistsException"}:
                raise
        role: dict[str, Any] = settled(
            lambda: self._aws.call("iam", "GetRole", RoleName=self.name),
            refused_for_now=is_missing,
            waits_for=f"the new role {self.name} to be known",
            timeout=self._options.start_timeout,
            logger=logger,
        )["Role"]
        return role

    def _renew_policy(self, logger: ClusterLogger) -> None:
        """Give the role its policy where it has none, or one of another configuration."""
        identity = self._aws.identity
        policy = execution_role_policy(
            cluster_name=self._options.cluster_name,
            log_group=log_group_of(self._options),
            account=identity.account,
            region=self._aws.region,
            partition=identity.partition,
            kms_key_id=self._options.kms_key_id,
        )
        wanted = {"RoleName": self.name, "PolicyName": POLICY_NAME}
        try:
            found = self._aws.call("iam", "GetRolePolicy", **wanted)["PolicyDocument"]
        except AWSError as error:
            if not is_missing(error):
                raise
            found = None
        if found == policy:
            return
        settled(
            lambda: self._aws.call("iam", "PutRolePolicy", PolicyDocument=_text(policy), **wanted),
            refused_for_now=is_missing,
            waits_for=f"the new role {self.name} to be known",
            timeout=self._options.start_timeout,
            logger=logger,
        )

    @staticmethod
    def _is_ours(role: Mapping[str, Any], key: str, text: str) -> bool:
        return tagging.parsed(role.get("Tags")).get(key) == text


def _text(policy: Mapping[str, Any]) -> str:
    return json.dumps(policy, separators=(",", ":"))


def _trusts_tasks(policy: Mapping[str, Any]) -> bool:
    """Tell whether a trust policy allows ECS tasks; conditions are AWS's to judge."""
    statements = policy.get("Statement", [])
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        named = [services] if isinstance(services, str) else services
        if statement.get("Effect") == "Allow" and SERVICE in named:
            return True
    return False
