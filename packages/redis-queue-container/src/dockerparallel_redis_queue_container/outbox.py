"""The tasks of a client that wait to be sent."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from dockerparallel_redis_queue_container.records import Task

_MOST_TASKS = 500
_MOST_BYTES = 4 * 1024 * 1024
_MOST_KEPT_BYTES = 16 * 1024 * 1024


@dataclass
class Outbox:
    """Tasks in the order in which they came. Not thread-safe.

    Attributes
    ----------
    tasks
        Those that are kept.
    kept_ever
        How many tasks were ever kept.
    settled
        How many of these were sent, withdrawn or have failed.
    """

    tasks: list[Task] = field(default_factory=list)
    kept_ever: int = 0
    settled: int = 0
    _bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self.tasks)

    @property
    def is_full(self) -> bool:
        """Whether so much is kept that who submits more is to wait."""
        return self._bytes > _MOST_KEPT_BYTES

    def keep(self, task: Task) -> None:
        """Put a task behind the others."""
        self.tasks.append(task)
        self.kept_ever += 1
        self._bytes += len(task.payload)

    def take_portion(self) -> list[Task]:
        """Take out the first tasks, as many as go into one submission; one at least."""
        room, count = _MOST_BYTES, 0
        for task in self.tasks[:_MOST_TASKS]:
            if count and len(task.payload) > room:
                break
            room -= len(task.payload)
            count += 1
        portion, self.tasks = self.tasks[:count], self.tasks[count:]
        self._bytes -= sum(len(task.payload) for task in portion)
        return portion

    def take_all(self) -> list[Task]:
        """Take out all tasks; like those of a portion, they are not settled yet."""
        tasks, self.tasks, self._bytes = self.tasks, [], 0
        return tasks

    def withdraw(self, task_ids: AbstractSet[str]) -> None:
        """Drop some of the tasks, where they are here; they are settled."""
        count = len(self.tasks)
        self.tasks = [task for task in self.tasks if task.task_id not in task_ids]
        self._bytes = sum(len(task.payload) for task in self.tasks)
        self.settled += count - len(self.tasks)
