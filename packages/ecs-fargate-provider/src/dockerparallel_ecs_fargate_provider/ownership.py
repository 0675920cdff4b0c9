"""Whose a thing is: the tags of all that one session makes for one cluster."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from dockerparallel_ecs_fargate_provider import tags
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.options import Options


class Ownership:
    """Names the owner, the cluster and the end of the lease on everything that is made.

    Parameters
    ----------
    aws
        Tells who calls.
    options
        With the name of the ECS cluster, the user's own tags and the length of a lease.
    """

    def __init__(self, aws: AWS, options: Options) -> None:
        self._aws = aws
        self._options = options
        self.made_by = ""
        self.begin()

    def begin(self) -> None:
        """Tell what is made from now on from what was made for earlier clusters."""
        self.made_by = secrets.token_hex(8)

    def expiry(self) -> datetime:
        """Return when a lease that begins now ends."""
        return datetime.now(UTC) + timedelta(hours=self._options.lifetime_hours)

    def tags(self, cluster: str, cluster_id: str) -> dict[str, str]:
        """Return the tags of what is made now for a cluster, the user's own included."""
        identity = self._aws.identity
        return {
            **self._options.tags,
            **tags.ours(
                self._options.cluster_name,
                cluster=cluster,
                cluster_id=cluster_id,
                owner=identity.arn,
                owner_id=identity.user_id,
                made_by=self.made_by,
                created=datetime.now(UTC),
                expires=self.expiry(),
            ),
        }
