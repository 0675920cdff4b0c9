"""The log group into which tasks write: the user's, which is only looked at, or one of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider import tags as tagging
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.errors import AWSError, ResourceError
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.role_policies import log_group_name, log_group_of
from dockerparallel_ecs_fargate_provider.settling import is_missing, settled

RETENTION_DAYS = 7
"""How long logs are kept; long enough to look into a run, and cheap."""


_UNDER_WAY = frozenset({"OperationAbortedException"})


class LogGroup:
    """Finds, checks or makes the log group; thread-safe.

    Parameters
    ----------
    aws, options
        Of the provider.
    """

    def __init__(self, aws: AWS, options: Options) -> None:
        self._aws = aws
        self._options = options
        self._own = log_group_name(options.cluster_name)

    @property
    def name(self) -> str:
        """The log group of the user, or ours."""
        return log_group_of(self._options)

    def verify(self) -> None:
        """Look whether the log group that the user gave exists; one read if there is one.

        Raises
        ------
        ResourceError
            It does not exist.
        AWSError
            AWS refused the call.
        """
        given = self._options.log_group
        if given is not None and self._find(given) is None:
            raise ResourceError(
                f"log_group={given!r} does not exist in {self._aws.region}: give one that 'aws "
                "logs describe-log-groups' lists, or leave it out for one of our own."
            )

    def ensure(self, tags: Mapping[str, str], logger: ClusterLogger) -> str:
        """Return the name of the log group, made first where it has to be; idempotent.

        One read where it is there. One of our name that has not our tag is used as it is. May
        block for ``start_timeout`` while an operation on one of that name is under way.

        Raises
        ------
        AWSError
            AWS refused a call; a group made until then has ``tags``.
        """
        if self._options.log_group is not None:
            return self._options.log_group
        group = self._find(self._own)
        if group is None:
            logger.info("Making the log group %s.", self._own)
            self._settled(self._make, tags, logger=logger)
        elif "retentionInDays" in group or not self._has_tag(
            group, tagging.INFRASTRUCTURE, self._options.cluster_name
        ):
            return self._own
        # Also for a group that an earlier session made just before it died.
        self._settled(self._set_retention, logger=logger)
        return self._own

    def remove(self, key: str, text: str) -> None:
        """Remove the log group of our own, with all logs, if it has this tag; idempotent.

        Where the user gave one, none of ours is looked for.

        Raises
        ------
        AWSError
            AWS refused a call.
        """
        if self._options.log_group is not None:
            return
        group = self._find(self._own)
        if group is None or not self._has_tag(group, key, text):
            return
        try:
            self._aws.call("logs", "DeleteLogGroup", logGroupName=self._own)
        except AWSError as error:
            # Gone already, which is what was asked for.
            if not is_missing(error):
                raise

    def _find(self, name: str) -> dict[str, Any] | None:
        groups = self._aws.pages("logs", "DescribeLogGroups", "logGroups", logGroupNamePrefix=name)
        for group in groups:
            if group["logGroupName"] == name:
                return dict(group)
        return None

    def _has_tag(self, group: Mapping[str, Any], key: str, text: str) -> bool:
        # The ARN that describes a group ends in ":*", the one that names it does not.
        arn = str(group["arn"]).removesuffix(":*")
        try:
            tags = self._aws.call("logs", "ListTagsForResource", resourceArn=arn)["tags"]
        except AWSError as error:
            # Removed meanwhile: then it is nobody's.
            if not is_missing(error):
                raise
            return False
        return bool(tags.get(key) == text)

    def _make(self, tags: Mapping[str, str]) -> None:
        try:
            self._aws.call("logs", "CreateLogGroup", logGroupName=self._own, tags=dict(tags))
        except AWSError as error:
            # Made by another session at this moment, or by us if an answer was lost.
            if error.code != "ResourceAlreadyExistsException":
                raise

    def _set_retention(self) -> None:
        self._aws.call(
            "logs", "PutRetentionPolicy", logGroupName=self._own, retentionInDays=RETENTION_DAYS
        )

    def _settled(
        self, call: Callable[..., None], *arguments: object, logger: ClusterLogger
    ) -> None:
        settled(
            lambda: call(*arguments),
            refused_for_now=lambda error: is_missing(error) or error.code in _UNDER_WAY,
            waits_for=f"AWS to end another operation on the log group {self._own}",
            timeout=self._options.start_timeout,
            logger=logger,
        )
