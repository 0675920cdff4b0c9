"""What tests of the infrastructure share besides fixtures."""

from __future__ import annotations

from collections.abc import Mapping

from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.infrastructure import Infrastructure
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.ownership import Ownership
from dockerparallel_fargate_harness import FargateHarness

REGION = "us-east-1"


class Session:
    """What one session of a user has: its ownership, and the infrastructure as it sees it."""

    def __init__(self, aws: AWS, options: Options) -> None:
        self.aws = aws
        self.options = options
        self.ownership = Ownership(aws, options)
        self.infrastructure = Infrastructure(aws, options)

    @property
    def made_by(self) -> str:
        """What tells its things from those of other sessions."""
        return self.ownership.made_by

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of what it makes."""
        return self.ownership.tags("queue", "id-of-queue")


def changes(harness: FargateHarness) -> list[str]:
    """Return the actions that were called and do more than read, in order."""
    return [
        call.action
        for call in harness.calls()
        if not call.action.startswith(("Describe", "Get", "List"))
    ]
