"""What is known of the tasks of a cluster, asked of ECS seldom and in bulk."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dockerparallel_ecs_fargate_provider import tags
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.errors import AWSError
from dockerparallel_ecs_fargate_provider.records import Role, TaskRecord

PREFIX = "dockerparallel/"
"""Of ``startedBy`` of every task of ours; the cluster's name follows."""

DESCRIBED_AT_ONCE = 100
"""How many tasks ECS describes in one call (API reference of DescribeTasks)."""

# ECS may not know a task yet that it has just started: its answers are eventually consistent.
_GRACE_SECONDS = 60.0
_SLOWEST = 5.0
_LONG_AGO = datetime.fromtimestamp(0, UTC)
_JITTER = 0.2


class TaskBook:
    """The tasks of one cluster, those of all sessions and those that have ended included.

    ECS is asked by :meth:`refresh`, which lists and describes 100 tasks a call. It does so less
    often where there are many tasks, and where nothing changes: then up to five times less.

    Parameters
    ----------
    aws
        To ask.
    ecs_cluster
        Name of the ECS cluster.
    poll_interval
        Seconds between two looks at tasks that change.
    """

    def __init__(self, aws: AWS, ecs_cluster: str, poll_interval: float) -> None:
        self._aws = aws
        self._ecs_cluster = ecs_cluster
        self._interval = poll_interval
        self._name = ""
        self._cluster_id = ""
        self._tasks: dict[str, TaskRecord] = {}
        self._noted: dict[str, float] = {}
        self._next = 0.0
        self._pause = poll_interval

    def follow(self, name: str) -> None:
        """Begin anew, with the tasks of the cluster of a ``job_queue_name``."""
        self._name, self._cluster_id = name, ""
        self._tasks.clear()
        self._noted.clear()
        self._soon()

    def only(self, cluster_id: str) -> None:
        """Leave out the tasks of other clusters that have, or had, the same name."""
        self._cluster_id = cluster_id
        self._tasks = {arn: record for arn, record in self._tasks.items() if self._is_ours(record)}

    @property
    def started_by(self) -> str:
        """What ``startedBy`` of the cluster's tasks is."""
        return PREFIX + self._name

    def note(self, started: Iterable[Mapping[str, Any]]) -> list[TaskRecord]:
        """Note tasks as RunTask gave them, and return their records."""
        records = []
        for data in started:
            record = TaskRecord.of(data)
            self._tasks[record.arn] = record
            self._noted[record.arn] = time.monotonic()
            records.append(record)
        self._soon()
        return records

    def note_stopped(self, arns: Iterable[str]) -> None:
        """Note that tasks were told to stop, so that they do not count any more."""
        for arn in arns:
            record = self._tasks[arn]
            data = {**record.data, "desiredStatus": "STOPPED"}
            self._tasks[arn] = TaskRecord(arn, data, record.tags, record.vanished)
        self._soon()

    def refresh(self, *, now: bool = False) -> bool:
        """Ask ECS, unless it was asked a moment ago; return whether anything has changed.

        Parameters
        ----------
        now
            Ask in any case.
        """
        if not self._name or (not now and time.monotonic() < self._next):
            return False
        before = {arn: (record.phase, record.status) for arn, record in self._tasks.items()}
        wanted = list(
            dict.fromkeys(
                [*self.listed(), *(arn for arn, known in self._tasks.items() if not known.over)]
            )
        )
        found = {one.arn: one for one in self.described(wanted) if self._is_ours(one)}
        for arn in wanted:
            if arn in found:
                self._tasks[arn] = found[arn]
            elif time.monotonic() - self._noted.get(arn, 0.0) > _GRACE_SECONDS:
                known = self._tasks.get(arn)
                if known is not None:
                    self._tasks[arn] = TaskRecord(arn, known.data, known.tags, vanished=True)
        after = {arn: (record.phase, record.status) for arn, record in self._tasks.items()}
        least = self._interval * (1 + len(wanted) / DESCRIBED_AT_ONCE)
        self._pause = least if before != after else min(2 * self._pause, _SLOWEST * least)
        self._next = time.monotonic() + self._pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
        return before != after

    def tasks(self, role: Role | None = None) -> list[TaskRecord]:
        """Return the tasks that are known, the oldest first, without asking ECS."""
        found = [record for record in self._tasks.values() if role in {None, record.role}]
        return sorted(found, key=lambda record: record.created or _LONG_AGO)

    def listed(self) -> list[str]:
        """Return the ARNs of the cluster's tasks that ECS lists as running or to run."""
        return listed(self._aws, self._ecs_cluster, startedBy=self.started_by)

    def described(self, arns: Sequence[str]) -> list[TaskRecord]:
        """Ask ECS for tasks by their ARNs; those that it does not know are not in the answer."""
        return described(self._aws, self._ecs_cluster, arns, self._tasks)

    def _is_ours(self, record: TaskRecord) -> bool:
        return self._cluster_id in {"", record.tags.get(tags.CLUSTER_ID, self._cluster_id)}

    def _soon(self) -> None:
        self._next, self._pause = 0.0, self._interval


def described(
    aws: AWS, ecs_cluster: str, arns: Sequence[str], known: Mapping[str, TaskRecord] | None = None
) -> list[TaskRecord]:
    """Ask ECS for tasks of an ECS cluster, 100 a call.

    Parameters
    ----------
    known
        Records so far, whose tags stay where ECS tells none any more.
    """
    found: list[TaskRecord] = []
    known = known or {}
    for start in range(0, len(arns), DESCRIBED_AT_ONCE):
        try:
            answer = aws.call(
                "ecs",
                "DescribeTasks",
                cluster=ecs_cluster,
                tasks=list(arns[start : start + DESCRIBED_AT_ONCE]),
                include=["TAGS"],
            )
        except AWSError as error:
            if error.code != "ClusterNotFoundException":
                raise
            # It can be removed only when no task runs in it.
            return []
        found += [TaskRecord.of(data, known.get(data["taskArn"])) for data in answer["tasks"]]
    return found


def listed(aws: AWS, ecs_cluster: str, *, most: int | None = None, **only: str) -> list[str]:
    """Return the ARNs of the tasks of an ECS cluster that run or are to run.

    Parameters
    ----------
    most
        Ask for so many of them only, at most 100; all by default.
    **only
        One filter of ListTasks, such as ``startedBy``; ECS takes no second beside that.
    """
    try:
        if most is not None:
            answer = aws.call("ecs", "ListTasks", cluster=ecs_cluster, maxResults=most, **only)
            return list(answer["taskArns"])
        return list(aws.pages("ecs", "ListTasks", "taskArns", cluster=ecs_cluster, **only))
    except AWSError as error:
        if error.code != "ClusterNotFoundException":
            raise
        # Where there is no ECS cluster, no task runs in it.
        return []
