"""What travels between clients, workers and the server: tasks, claims, results."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

from dockerparallel_redis_queue_container.large_outcomes import STORED, LargeOutcome

MOST_PAYLOAD = 512 * 1024 * 1024 - 4096
"""The biggest task or outcome, in bytes: Redis' limit of a value (``proto-max-bulk-len``)."""


class Task(NamedTuple):
    """A task as the client sends it: the pickled call, and the names of the blobs it needs."""

    task_id: str
    payload: bytes
    needs: str = ""


class Claim(NamedTuple):
    """A task that a worker holds: how many workers have died over it, and the pickled task."""

    task_id: str
    attempts: int
    payload: bytes


class Claimed(NamedTuple):
    """The answer to a claim.

    Parameters
    ----------
    tasks
        What the worker holds from now on, beside what it held.
    whole
        Whether ``tasks`` is all that it holds: what else it believes to hold is not its own.
    spare
        Whether another worker holds tasks that it has not begun; they may soon be had.
    dropped
        Ids of finished tasks that were given to another worker meanwhile: the outcome of this
        attempt is outdated.
    """

    tasks: list[Claim]
    whole: bool
    spare: bool
    dropped: list[str]


class Finished(NamedTuple):
    """A task that a worker has finished and not handed in, with its outcome."""

    task_id: str
    outcome: bytes | LargeOutcome


class Delivery(NamedTuple):
    """One result as the client takes it."""

    task_id: str
    outcome: bytes | memoryview

    @property
    def is_stored(self) -> bool:
        """Whether the outcome is a stub, and is to be got from the ``OutcomeStore``."""
        return self.outcome[0] == STORED


class Cancelled(enum.Enum):
    """What became of the wish to cancel a task: the digits of the script's answer."""

    NO = ord("0")
    """It runs."""
    YES = ord("1")
    """It will never run."""
    NOT_YET = ord("2")
    """Ask again: it waits at a worker, behind another, or is done or cancelled already."""


class Numbers(NamedTuple):
    """What the server counts.

    Parameters
    ----------
    time
        The server's clock, in seconds since 1970.
    waiting, running
        Numbers of tasks that no worker has claimed, and that one has.
    counts
        The totals in ``counts``, of which any may be missing while it is 0; see ``keys.py``.
    done, failed
        Tasks of each worker, by its id; as ``counts``.
    workers
        The descriptions of the live workers, in the order in which they started.
    """

    time: float
    waiting: int
    running: int
    counts: dict[str, int]
    done: dict[str, int]
    failed: dict[str, int]
    workers: list[dict[str, Any]]

    @property
    def sizes(self) -> dict[str, int]:
        """Return ``waiting`` and ``running``."""
        return {"waiting": self.waiting, "running": self.running}


class BlobsMissingError(Exception):
    """The server does not have (any more) these blobs of a submission; nothing was submitted."""


def record_of(task_id: str, outcome: bytes) -> bytes:
    """Return what a worker hands in of a finished task; the form is that of ``script_parts``."""
    name = task_id.encode()
    return b"%c%b%b" % (len(name), name, outcome)


def delivery_of(record: bytes) -> Delivery:
    """Read a record; the outcome is a view of it, not a copy."""
    start = record[0] + 1
    return Delivery(record[1:start].decode(), memoryview(record)[start:])
