"""Where a session's results come from: its own mailbox, or that of a named job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dockerparallel import BrokenClusterError
from dockerparallel_redis_queue_container.jobs import JobBook
from dockerparallel_redis_queue_container.keys import mailbox_of_job
from dockerparallel_redis_queue_container.records import Delivery
from dockerparallel_redis_queue_container.task_queue import TaskQueue


class Inbox(Protocol):
    """What the collector asks; each may be repeated when the connection has failed."""

    queue: TaskQueue
    keeps: bool
    """Whether results stay on the server when they have been delivered."""

    @property
    def mailbox(self) -> str:
        """What the ids of the session's tasks begin with."""

    def known(self, submitted: int) -> bool:
        """Say that the session lives; ``False`` where not all will come that it waits for.

        ``submitted`` is the number of the last submission that the server has taken.
        """

    def lost(self) -> Exception:
        """Return the error of open futures where it is not known any more."""

    def take(self) -> Sequence[Delivery]:
        """Return results that have come since the last call; does not block."""

    def wait(self, seconds: float) -> Sequence[Delivery]:
        """Block until there may be results, at most so long; returns one that came alone."""

    def leave(self, task_ids: Sequence[str]) -> None:
        """Tell the server that the session ends; ``task_ids`` are those of its open tasks."""


@dataclass
class SessionInbox:
    """The mailbox of one session: what has arrived is dropped, and the rest when it ends."""

    queue: TaskQueue
    session: str
    keeps: bool = False
    _arrived: Sequence[Delivery] = field(default_factory=list)

    @property
    def mailbox(self) -> str:
        """See :class:`Inbox`."""
        return self.session

    def known(self, submitted: int) -> bool:
        """See :class:`Inbox`."""
        return self.queue.client_known(self.session, submitted)

    def lost(self) -> Exception:
        """See :class:`Inbox`."""
        return BrokenClusterError(
            "The server of the cluster was restarted or emptied, and has lost open tasks. Call "
            "cluster.register_backend() to go on with it."
        )

    def take(self) -> Sequence[Delivery]:
        """See :class:`Inbox`."""
        self._arrived = self.queue.take(self.session, self._arrived)
        return self._arrived

    def wait(self, seconds: float) -> Sequence[Delivery]:
        """See :class:`Inbox`."""
        self._arrived = self.queue.wait_for_results(self.session, seconds)
        return self._arrived

    def leave(self, task_ids: Sequence[str]) -> None:
        """See :class:`Inbox`; the tasks are cancelled."""
        self.queue.cancel(task_ids)
        self.queue.forget_client(self.session)


@dataclass
class JobInbox:
    """The mailbox of a job that the session holds: results stay there, and the tasks go on."""

    queue: TaskQueue
    session: str
    job: str
    keeps: bool = True
    _taken: int = 0

    @property
    def mailbox(self) -> str:
        """See :class:`Inbox`."""
        return mailbox_of_job(self.job)

    def known(self, submitted: int) -> bool:
        """See :class:`Inbox`."""
        return JobBook(self.queue).hold(self.job, self.session, submitted)

    def lost(self) -> Exception:
        """See :class:`Inbox`."""
        return BrokenClusterError(
            f"This session does not hold the job {self.job!r} any more: another one has taken or "
            "removed it, or the server was restarted or emptied. cluster.worker_container.jobs() "
            "tells what is there, and attach_job() collects it."
        )

    def take(self) -> Sequence[Delivery]:
        """See :class:`Inbox`."""
        found = self.queue.take(self.mailbox, skip=self._taken)
        self._taken += len(found)
        return found

    def wait(self, seconds: float) -> Sequence[Delivery]:
        """See :class:`Inbox`; the result is taken, too, once more."""
        return self.queue.wait_for_results(self.mailbox, seconds)

    def leave(self, _task_ids: Sequence[str]) -> None:
        """See :class:`Inbox`."""
        JobBook(self.queue).detach(self.job, self.session)
