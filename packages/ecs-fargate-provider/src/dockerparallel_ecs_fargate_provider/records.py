"""Tasks, as ECS tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from dockerparallel import Status
from dockerparallel_ecs_fargate_provider import tags
from dockerparallel_ecs_fargate_provider.diagnosis import Phase, phase_of
from dockerparallel_ecs_fargate_provider.sizes import FargateSize

CONTAINER_NAME = "dockerparallel"
"""Of the one container of each task."""

SPOT_PROVIDER = "FARGATE_SPOT"
"""The capacity provider of tasks that AWS may end with two minutes' notice."""

_STATUS = {
    Phase.REQUESTED: Status.INITIALIZING,
    Phase.PROVISIONING: Status.INITIALIZING,
    Phase.PULLING: Status.INITIALIZING,
    Phase.RUNNING: Status.RUNNING,
    Phase.STOPPING: Status.STOPPED,
    Phase.STOPPED: Status.STOPPED,
}


class Role(StrEnum):
    """What a task is for."""

    SERVER = "server"
    WORKER = "worker"


@dataclass(frozen=True)
class TaskRecord:
    """A task at the moment when ECS was last asked, or when it was started.

    Parameters
    ----------
    arn
        Its name at AWS.
    data
        What ECS said of it.
    tags
        Its tags; those of a task that somebody has stopped may be gone.
    vanished
        Whether ECS does not know it any more.
    """

    arn: str
    data: Mapping[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)
    vanished: bool = False

    @classmethod
    def of(cls, data: Mapping[str, Any], known: TaskRecord | None = None) -> TaskRecord:
        """Make a record of an item that RunTask or DescribeTasks gave.

        Parameters
        ----------
        known
            The record so far, whose tags stay where the answer has none.
        """
        found = tags.parsed(data.get("tags"))
        return cls(str(data["taskArn"]), data, found or (known.tags if known else {}))

    @property
    def id(self) -> str:
        """The last part of its ARN: the handle of its workers."""
        return self.arn.rpartition("/")[2]

    @property
    def role(self) -> str:
        """``server`` or ``worker``; empty for a task that is not ours."""
        return self.tags.get(tags.ROLE, "")

    @property
    def cluster(self) -> str:
        """``job_queue_name`` of its cluster."""
        return self.tags.get(tags.CLUSTER, "")

    @property
    def owner(self) -> str:
        """ARN of who started it."""
        return self.tags.get(tags.OWNER, "")

    @property
    def expires(self) -> datetime | None:
        """When its lease ended, as it stood at its start."""
        return tags.moment_of(self.tags.get(tags.EXPIRES, ""))

    @property
    def workers(self) -> int:
        """How many workers it runs."""
        text = self.tags.get(tags.WORKERS, "0")
        return int(text) if text.isdecimal() else 0

    @property
    def size(self) -> FargateSize:
        """Its vCPUs and memory, which its price depends on."""
        cpu = self.data.get("cpu") or self.tags.get(tags.CPU) or 0
        memory = self.data.get("memory") or self.tags.get(tags.MEMORY) or 0
        return FargateSize(int(cpu), int(memory))

    @property
    def spot(self) -> bool:
        """Whether it runs on Spot capacity."""
        return self.data.get("capacityProviderName") == SPOT_PROVIDER

    @property
    def phase(self) -> Phase:
        """How far it is."""
        return Phase.STOPPED if self.vanished else phase_of(dict(self.data))

    @property
    def status(self) -> Status:
        """Its status, as the contract of providers has it; one that was told to stop has."""
        if self.data.get("desiredStatus") == "STOPPED":
            return Status.STOPPED
        return _STATUS[self.phase]

    @property
    def lives(self) -> bool:
        """Whether it runs or is on its way."""
        return self.status is not Status.STOPPED

    @property
    def over(self) -> bool:
        """Whether its containers have ended, so that ECS will not change it any more."""
        return self.vanished or self.data.get("lastStatus") in {"DEPROVISIONING", "STOPPED"}

    @property
    def billed_to(self) -> datetime | None:
        """When it stopped to cost money, ``None`` while it does."""
        if not self.over:
            return None
        return self.moment("stoppedAt") or self.moment("executionStoppedAt") or datetime.now(UTC)

    @property
    def private_ip(self) -> str | None:
        """Its address in its subnet, once it has one."""
        return self._detail("privateIPv4Address")

    @property
    def network_interface(self) -> str | None:
        """The id of its network interface, once it has one."""
        return self._detail("networkInterfaceId")

    @property
    def created(self) -> datetime | None:
        """When it was asked for."""
        return self.moment("createdAt")

    def moment(self, name: str) -> datetime | None:
        """Return one of the moments that ECS tells, such as ``pullStartedAt``."""
        found = self.data.get(name)
        return found if isinstance(found, datetime) else None

    def _detail(self, name: str) -> str | None:
        for attachment in self.data.get("attachments", ()):
            for detail in attachment.get("details", ()):
                if detail.get("name") == name and detail.get("value"):
                    return str(detail["value"])
        return None
