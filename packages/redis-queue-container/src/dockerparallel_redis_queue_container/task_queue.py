"""The queue: what clients, workers and supervisors may ask of the server.

The life of a task: the client *submits* it (payload stored, id at the end of ``tasks``); a worker
*claims* it, with others (ids moved to the worker's own list, in one step), or is given it while
it is idle; the worker runs it and *finishes* it (id and payload removed, outcome put into the
client's results, in one step); the client *takes* the outcome and acknowledges it with its next
request.

Execution is at least once, delivery exactly once: a finish counts only if the id is still in the
worker's list, so that of several executions one delivers. The id leaves that list in no other way
than by finishing, by being given back or taken over before it has begun, or by *reaping* once the
worker's lease is over (its supervisor renews it, and ends it at once when the worker dies). A
task that has killed too many workers fails. A client drops a result whose id it does not wait
for. ``docs/protocol.md`` has the whole of it.

Every method may be repeated when it failed with one of ``CONNECTION_FAILURES``: no repetition
does anything twice. All methods are thread-safe; none waits longer than the timeout of the
connection, but for the two that say so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
from redis.exceptions import NoScriptError

from dockerparallel_redis_queue_container import client_scripts, scripts
from dockerparallel_redis_queue_container.hot_line import HotLine
from dockerparallel_redis_queue_container.keys import key_prefix
from dockerparallel_redis_queue_container.records import (
    BlobsMissingError,
    Cancelled,
    Claim,
    Claimed,
    Delivery,
    Numbers,
    Task,
    delivery_of,
)
from dockerparallel_redis_queue_container.settings import QueueSettings

BLOB_SECONDS = 600
"""How long a blob is kept that no task needs yet."""

_SIGNAL_SECONDS = 5
_DROPPED_SECONDS = 60
_MOST_BYTES = 16 * 1024 * 1024
_DIGESTS = {text: hashlib.sha1(text.encode()).hexdigest() for text in scripts.ALL_SCRIPTS}  # noqa: S324  # Redis names scripts by SHA-1


@dataclass(frozen=True)
class TaskQueue:
    """One job queue on a server.

    Parameters
    ----------
    connection
        Made by :func:`~dockerparallel_redis_queue_container.connection.connect`.
    job_queue_name
        Name of the cluster's queue.
    settings
        Times and limits; the same for clients and workers of a cluster.
    """

    connection: redis.Redis
    job_queue_name: str
    settings: QueueSettings
    _line: HotLine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_line", HotLine(self.connection))

    def interrupt(self) -> None:
        """Fail the commands that wait for the server, and all later ones; from any thread."""
        self._line.interrupt()

    def close(self) -> None:
        """Close the connections."""
        self._line.close()
        self.connection.close()

    # The client's side -----------------------------------------------------------------------

    def announce_client(self, client: str) -> None:
        """Tell the server that results of this client are wanted."""
        self.script(client_scripts.ANNOUNCE, client, self.settings.result_expiry)

    def client_known(self, client: str, submitted: int = 0) -> bool:
        """Renew the announcement; ``False`` where the server has lost data of the client.

        Parameters
        ----------
        client
            The id of the client.
        submitted
            The number of a submission that the server has taken, and so must know of.
        """
        for name in ("results", "signal"):
            self.command("EXPIRE", self.key(f"{name}:{client}"), self.settings.result_expiry)
        key = self.key(f"client:{client}")
        last = self.command("GETEX", key, "EX", self.settings.result_expiry)
        return last is not None and int(last) >= submitted

    def forget_client(self, client: str) -> None:
        """Drop the client's results, those that are still to come included, and wake it."""
        self.script(client_scripts.FORGET_CLIENT, client, _SIGNAL_SECONDS)

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

    # The worker's side -----------------------------------------------------------------------

    def claim(
        self,
        worker: str,
        finished: Sequence[bytes] = (),
        *,
        most: int = 1,
        holding: int = 0,
        pace: float = 0.0,
        stale: float = 0.1,
    ) -> Claimed:
        """Hand in finished tasks and take the next ones, in one step.

        Parameters
        ----------
        worker
            The id of the worker.
        finished
            Their records, in the order in which they were claimed.
        most
            How many tasks it wants. It gets fewer where others would have none then, and none
            behind, or behind it, where a worker has died over a task.
        holding
            How many unfinished tasks it believes to hold. Where that is wrong (a reply was lost,
            or others took what it has not begun), it is told all that it holds.
        pace
            The seconds that it takes for a task, as far as it knows.
        stale
            The seconds that another may have been silent before this one, where it would be idle,
            takes what that one holds and has not begun.

        Returns
        -------
        Claimed
            A worker that has nothing is idle from then on: see :meth:`wait_for_task`.
        """
        numbers = (_milliseconds(self.settings.lease), self.settings.result_expiry, most, holding)
        whole, spare, dropped, *parts = self.script(
            scripts.CLAIM,
            worker,
            *numbers,
            _milliseconds(stale),
            _microseconds(pace),
            *finished,
        )
        late, parts = parts[:dropped], parts[dropped:]
        tasks = [
            Claim(task_id.decode(), int(attempts), payload)
            for task_id, attempts, payload in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        ]
        return Claimed(tasks, bool(whole), bool(spare), [task_id.decode() for task_id in late])

    def give_back(self, worker: str, task_ids: Sequence[str], *, pace: float = 0.0) -> int:
        """Put claimed tasks that have not begun back to the front; returns how many there were.

        ``pace`` is the seconds that the task before them takes already; 0 where that is not why.
        """
        return int(self.script(scripts.GIVE_BACK, worker, _microseconds(pace), *task_ids))

    def wait_for_task(self, worker: str, seconds: float) -> Claim | None:
        """Block until an idle worker is given a task, at most ``seconds``; else claim.

        The task is in the worker's list already, so a lost reply does not lose it: the next claim
        tells it.
        """
        reply = self.command("BLPOP", self.key(f"inbox:{worker}"), seconds)
        if not reply or not reply[1]:
            return None
        task_id, attempts, payload = reply[1].split(b" ", 2)
        return Claim(task_id.decode(), int(attempts), payload)

    # The supervisor's side -------------------------------------------------------------------

    def renew(self, workers: Iterable[tuple[str, str]]) -> None:
        """Renew the leases of live workers, each with the JSON text that describes it."""
        arguments = [part for worker in workers for part in worker]
        self.script(scripts.RENEW, _milliseconds(self.settings.lease), *arguments)

    def bury(self, worker: str, died: bytes, *, blame: bool, ran: str | None = None) -> int:
        """End the lease of a dead worker and give its tasks to others.

        Parameters
        ----------
        worker
            The id of the worker.
        died
            The outcome of a task that has now killed too many workers.
        blame
            Whether its death counts against the task it ran; not so where we ended it.
        ran
            The id of that task, or "-" for none; where it is not known, the first it held.

        Returns
        -------
        int
            The number of tasks that it held.
        """
        limits = (self.settings.max_attempts, self.settings.result_expiry)
        return int(self.script(scripts.BURY, worker, *limits, died, int(blame), ran or ""))

    def reap(self, died: bytes) -> int:
        """Give the tasks of workers whose lease is over to others; returns how many.

        To be called more often than each half lease by somebody: where nobody has for so long, no
        lease counts as over before a whole one from now on.
        """
        limits = (self.settings.max_attempts, self.settings.result_expiry)
        grace = _milliseconds(self.settings.late_move)
        lease = _milliseconds(self.settings.lease)
        return int(self.script(scripts.REAP, *limits, grace, died, lease))

    # Both sides ------------------------------------------------------------------------------

    def put_code(self, digest: str, bundle: bytes) -> None:
        """Store a source bundle for the workers."""
        self.command("HSET", self.key("code"), digest, bundle)

    def get_code(self, digest: str) -> bytes | None:
        """Return a stored source bundle."""
        bundle: bytes | None = self.command("HGET", self.key("code"), digest)
        return bundle

    def blob_key(self, name: str) -> str:
        """Return the key of a blob, for :class:`BlobLink`."""
        return self.key(f"blob:{name}")

    def workers(self) -> list[dict[str, Any]]:
        """Return the descriptions of the workers that are alive, in the order they started."""
        return _by_start(self.command("HVALS", self.key("workers")))

    def numbers(self) -> Numbers:
        """Return what the server counts; one round trip."""
        # No transaction: a server whose memory is full takes none.
        with self.connection.pipeline(transaction=False) as pipeline:
            for name in ("counts", "done", "failed"):
                pipeline.hgetall(self.key(name))
            pipeline.hlen(self.key("payloads"))
            pipeline.hlen(self.key("owners"))
            pipeline.hvals(self.key("workers"))
            pipeline.time()
            *tables, payloads, owners, texts, (seconds, microseconds) = pipeline.execute()
        counts, done, failed = (
            {name.decode(): int(number) for name, number in table.items()} for table in tables
        )
        return Numbers(
            time=seconds + microseconds / 1e6,
            waiting=max(0, payloads - owners),
            running=owners,
            counts=counts,
            done=done,
            failed=failed,
            workers=_by_start(texts),
        )

    # The way to the server, for what else is kept there ---------------------------------------

    def key(self, name: str) -> str:
        """Return the whole name of a key of this queue."""
        return key_prefix(self.job_queue_name) + name

    def command(self, *parts: Any) -> Any:
        """Send one command; see :meth:`HotLine.command`."""
        return self._line.command(*parts)

    def script(self, text: str, *arguments: Any) -> Any:
        """Run one of the scripts, which the server need not know yet."""
        prefix = key_prefix(self.job_queue_name)
        try:
            return self.command("EVALSHA", _DIGESTS[text], 1, prefix, *arguments)
        except NoScriptError:
            # The server is new, or was restarted: it learns the script and runs it.
            return self.command("EVAL", text, 1, prefix, *arguments)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _microseconds(seconds: float) -> int:
    return round(1e6 * seconds)


def _by_start(texts: Iterable[bytes]) -> list[dict[str, Any]]:
    return sorted((json.loads(text) for text in texts), key=lambda item: item["started"])
