"""Named jobs: computations that outlive the session which started them.

The tasks of a job are submitted and run like others. Its results stay on the server, also those
that a session has collected, until the job is removed, or until nobody has heard of it for
``result_expiry``. So whoever attaches to it after its session has died has all of them.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from dockerparallel_redis_queue_container import job_scripts
from dockerparallel_redis_queue_container.errors import (
    JobExistsError,
    JobInUseError,
    JobNotFoundError,
)
from dockerparallel_redis_queue_container.keys import mailbox_of_job
from dockerparallel_redis_queue_container.task_queue import TaskQueue

SILENT_SECONDS = 30.0
"""How long a session that holds a job may be silent before another may attach without asking."""

Wanted = Literal["create", "attach", "take over"]

_CANCEL_AT_ONCE = 1000


@dataclass(frozen=True)
class JobRequest:
    """Which job a session wants to hold, and how; see :meth:`JobBook.attach`."""

    name: str
    wanted: Wanted


@dataclass(frozen=True)
class JobBook:
    """The named jobs of a queue. Thread-safe; a method takes one round trip where it says no other.

    All raise ``redis.RedisError`` where the server does not answer, and may be repeated then.

    Parameters
    ----------
    queue
        Where they are.
    """

    queue: TaskQueue

    def attach(self, request: JobRequest, session: str) -> int:
        """Let a session hold a job; returns the number of the next task that it may submit.

        Parameters
        ----------
        request
            The name, and ``"create"`` for a new job, ``"attach"`` for one that exists and that no
            other session holds, or ``"take over"`` for one that another session may hold: that one
            then fails its open futures.
        session
            The id of the session.

        Raises
        ------
        JobExistsError, JobNotFoundError, JobInUseError
            It cannot be had so.
        """
        by = json.dumps({"host": socket.gethostname(), "pid": os.getpid()})
        name, wanted = request.name, request.wanted
        keep = self.queue.settings.result_expiry
        reply = self.queue.script(
            job_scripts.ATTACH, name, session, by, keep, round(1000 * SILENT_SECONDS), wanted
        )
        self._check(reply, name)
        return int(reply[1])

    def hold(self, name: str, session: str, submitted: int = 0) -> bool:
        """Say that the session lives; ``False`` where it does not hold the job any more.

        Also where the server has lost its submission of the number ``submitted``.
        """
        keep = self.queue.settings.result_expiry
        return bool(self.queue.script(job_scripts.HOLD, name, session, keep, submitted))

    def detach(self, name: str, session: str) -> None:
        """Let others have the job, whose tasks go on. Idempotent."""
        self.queue.script(job_scripts.DETACH, name, session)

    def remove(self, name: str, *, force: bool = False) -> None:
        """Drop the results of a job and cancel its tasks that no worker has begun.

        Takes a round trip for each thousand tasks.

        Parameters
        ----------
        name
            Of the job.
        force
            Whether to remove it though a session holds it.

        Raises
        ------
        JobNotFoundError, JobInUseError
            There is no such job, or a session that lives holds it.
        """
        silent = round(1000 * SILENT_SECONDS)
        reply = self.queue.script(job_scripts.REMOVE, name, silent, int(force))
        self._check(reply, name)
        mailbox, count = mailbox_of_job(name), int(reply[1])
        for start in range(0, count, _CANCEL_AT_ONCE):
            numbers = range(start, min(start + _CANCEL_AT_ONCE, count))
            self.queue.cancel([f"{mailbox}.{number}" for number in numbers])

    def numbers(self, name: str) -> list[int]:
        """Return the numbers of all tasks of a job that were not cancelled, in their order."""
        bits = self.queue.command("GET", self.queue.key(f"numbers:{mailbox_of_job(name)}")) or b""
        return [
            8 * index + bit
            for index, byte in enumerate(bits)
            if byte
            for bit in range(8)
            if byte & (128 >> bit)
        ]

    def jobs(self) -> list[dict[str, Any]]:
        """Return what ``RedisQueueWorkerContainer.jobs`` returns."""
        found = [
            {
                "name": name.decode(),
                "created": datetime.fromtimestamp(int(created) / 1000, UTC),
                "tasks": tasks,
                "done": done,
                "held_by": json.loads(by) if by else None,
            }
            for name, created, tasks, done, by in self.queue.script(
                job_scripts.LIST, round(1000 * SILENT_SECONDS)
            )
        ]
        return sorted(found, key=lambda job: (job["created"], job["name"]))

    def _check(self, reply: list[Any], name: str) -> None:
        match reply[0]:
            case b"exists":
                raise JobExistsError(
                    f"There is a job {name!r} already: collect it with attach_job({name!r}), drop "
                    f"it with remove_job({name!r}), or choose another name."
                )
            case b"missing":
                names = [job["name"] for job in self.jobs()]
                known = ", ".join(map(repr, names)) or "none"
                raise JobNotFoundError(
                    f"There is no job {name!r} on the server; there are: {known}. A job is gone "
                    "when it was removed, or when nobody has heard of it for the time that results "
                    f"are kept ({self.queue.settings.result_expiry} s)."
                )
            case b"in use":
                holder = json.loads(reply[1])
                raise JobInUseError(
                    f"Process {holder['pid']} on {holder['host']} holds the job {name!r}, and was "
                    f"heard of {reply[2] / 1000:.1f} s ago: end it, wait until it has been silent "
                    f"for {SILENT_SECONDS:g} s, or take the job from it (take_over=True of "
                    "attach_job, force=True of remove_job)."
                )
