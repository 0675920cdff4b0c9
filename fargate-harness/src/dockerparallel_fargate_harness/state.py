"""What the parts of the server share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dockerparallel_fargate_harness.calls import CallLog
from dockerparallel_fargate_harness.faults import FaultPlan
from dockerparallel_fargate_harness.settings import Settings
from dockerparallel_fargate_harness.tasks import Task
from dockerparallel_fargate_harness.wire import AwsRequest


@dataclass(frozen=True)
class Launched:
    """What a RunTask with a client token has done.

    Parameters
    ----------
    parameters : dict
        Its arguments.
    tasks : list of str
        The ARNs of its tasks.
    failures : list of dict
        The failures of its answer.
    """

    parameters: dict[str, Any]
    tasks: list[str]
    failures: list[dict[str, str]]


@dataclass
class State:
    """The account's state beyond moto's own, and what the test has set.

    Everything but `calls` and `faults`, which have locks of their own, is read and changed under
    `lock`, and so are moto's objects. Nothing that waits is done under it.
    """

    client_address: str = "203.0.113.7"
    lock: threading.RLock = field(default_factory=threading.RLock)
    settings: Settings = field(default_factory=Settings)
    calls: CallLog = field(default_factory=CallLog)
    faults: FaultPlan = field(default_factory=FaultPlan)
    tasks: dict[str, Task] = field(default_factory=dict)
    tokens: dict[tuple[str, str, str], Launched] = field(default_factory=dict)
    policy: dict[str, Any] | None = None

    def tasks_of(self, region: str, cluster: str) -> Iterator[Task]:
        """Yield the tasks of a cluster, the oldest first."""
        for task in list(self.tasks.values()):
            if (task.region, task.cluster) == (region, cluster):
                yield task

    def task(self, request: AwsRequest, cluster: str, name_or_arn: str) -> Task | None:
        """Return a task of a cluster by its id or ARN."""
        identifier = name_or_arn.rpartition("/")[2]
        for task in self.tasks_of(request.region, cluster):
            if name_or_arn == task.arn or identifier == task.id:
                return task
        return None
