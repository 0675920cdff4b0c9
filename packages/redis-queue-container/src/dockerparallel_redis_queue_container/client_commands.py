"""What clients may ask of the queue; see ``task_queue.py``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dockerparallel_redis_queue_container import client_scripts as scripts
from dockerparallel_redis_queue_container.queue_line import QueueLine
from dockerparallel_redis_queue_container.records import (
    BlobsMissingError,
    Cancelled,
    Delivery,
    Task,
    delivery_of,
)

_SIGNAL_SECONDS = 5
_DROPPED_SECONDS = 60
_MOST_BYTES = 16 * 1024 * 1024


class ClientCommands(QueueLine):
    """The part of :class:`TaskQueue` for clients."""

    def announce_client(self, client: str, origin: str = "") -> dict[str, str]:
        """Tell the server that results of this client are wanted.

        Parameters
        ----------
        client
            The id of the client.
        origin
            What tells its process from all others; empty where it cannot be told.

        Returns
        -------
        dict
            The ids of the clients that were announced with an origin and are not forgotten yet,
            with their origins.
        """
        reply = self.script(scripts.ANNOUNCE, client, self.settings.result_expiry, origin)
        texts = [text.decode() for text in reply]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    def client_known(self, client: str, submitted: int = 0) -> bool:
        """Renew the announcement; ``False`` where the server has lost data of the client.

        Parameters
        ----------
        client
            The id of the client.
        submitted
            The number of a submission that the server has taken, and so must know of.
        """
        for name in ("results", "parts", "signal"):
            self.command("EXPIRE", self.key(f"{name}:{client}"), self.settings.result_expiry)
        key = self.key(f"client:{client}")
        last = self.command("GETEX", key, "EX", self.settings.result_expiry)
        return last is not None and int(last) >= submitted

    def forget_client(self, client: str) -> None:
        """Drop the client's results, those that are still to come included, and wake it.

        Its tasks that no worker has claimed will not run.
        """
        self.script(scripts.FORGET_CLIENT, client, _SIGNAL_SECONDS)

    def submit(self, client: str, number: int, tasks: Iterable[Task]) -> bool:
        """Put tasks at the end of the queue, in their order and in one round trip.

        Parameters
        ----------
        client
            The id of the client.
        number
            Of this submission: 1, 2, ... without a gap. A repetition has the same.
        tasks
            The tasks; their blobs must have been put.

        Returns
        -------
        bool
            ``False``, with nothing done, where the server does not know the client (any more), or
            not the submission before this one: it has lost data.

        Raises
        ------
        BlobsMissingError
            Nothing was done: put the blobs that it names, and try again.
        redis.OutOfMemoryError
            Nothing was done, because the memory of the server is full.
        """
        arguments = [part for task in tasks for part in task]
        reply = self.script(scripts.SUBMIT, client, number, *arguments)
        if isinstance(reply, list):
            raise BlobsMissingError(*(name.decode() for name in reply))
        return bool(reply)

    def cancel(self, task_ids: Sequence[str]) -> list[bool]:
        """Cancel the tasks that no worker has begun; tell of each whether it will never run."""
        return [done is Cancelled.YES for done in self.try_cancel(task_ids)]

    def try_cancel(self, task_ids: Sequence[str], token: str = "") -> list[Cancelled]:
        """Cancel the tasks that no worker has claimed; tell of each what became of it.

        Parameters
        ----------
        task_ids
            Ids of tasks.
        token
            What nobody else has; a repetition of the request has the same, and is then told the
            same for a minute. Without one, what the lost request has cancelled is not known.
        """
        if not task_ids:
            return []
        return [Cancelled(code) for code in self.script(scripts.CANCEL, token, *task_ids)]

    def drop(self, task_ids: Iterable[str]) -> None:
        """Tell the workers that nobody wants these tasks any more, though they have begun."""
        with self.connection.pipeline(transaction=False) as pipeline:
            for task_id in task_ids:
                pipeline.set(self.key(f"dropped:{task_id}"), "", ex=_DROPPED_SECONDS)
            pipeline.execute()

    def is_dropped(self, task_id: str) -> bool:
        """Tell whether the client of a task that runs has dropped it."""
        return bool(self.command("EXISTS", self.key(f"dropped:{task_id}")))

    def is_running(self, task_id: str) -> bool:
        """Tell whether a worker runs the task, or has run it and has not handed it in."""
        return bool(self.script(scripts.RUNNING, task_id))

    def wait_for_results(self, mailbox: str, seconds: float) -> list[Delivery]:
        """Block until there may be new results, at most ``seconds``.

        Returns
        -------
        list of Delivery
            A result that came alone, with the signal; the others are to be taken. It need not be
            the oldest, and may come again.
        """
        reply = self.command("BLPOP", self.key(f"signal:{mailbox}"), seconds)
        return [delivery_of(reply[1])] if reply and reply[1] else []

    def take(
        self, mailbox: str, arrived: Sequence[Delivery] = (), most: int = 256, *, skip: int = 0
    ) -> list[Delivery]:
        """Return results, oldest first, and acknowledge those of the call before.

        Parameters
        ----------
        mailbox
            The id of the client, or what :func:`mailbox_of_job` gives.
        arrived
            What the last successful call returned: the server drops these now. Results stay on
            the server until then, so that a lost reply loses none.
        most
            The most results to return; fewer where they are big.
        skip
            The number of results to pass over, for a job, whose results are never dropped here.
        """
        last = arrived[-1].task_id if arrived else ""
        reply = self.script(scripts.TAKE, mailbox, len(arrived), last, most, _MOST_BYTES, skip)
        return [delivery_of(record) for record in reply]
