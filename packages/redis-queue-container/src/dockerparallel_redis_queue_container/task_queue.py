"""The queue: what clients, workers and supervisors may ask of the server.

The life of a task: the client *submits* it (payload stored, id at the end of ``tasks``); a worker
*claims* it (id moved to the worker's own list, in one step); the worker runs it and *finishes* it
(id and payload removed, outcome put into the client's results, in one step); the client *takes*
the outcome and acknowledges it with its next request.

Execution is at least once, delivery exactly once: a finish counts only if the id is still in the
worker's list, so that of several executions one delivers. The id leaves that list in no other way
than by finishing, or by *reaping* once the worker's lease is over (its supervisor renews it, and
ends it at once when the worker dies), which puts it back to the front of ``tasks``, or fails it
where it has killed too many workers. A client drops a result whose id it does not wait for.

Every method may be repeated when it failed with one of ``CONNECTION_FAILURES``: no repetition
does anything twice. All methods are thread-safe; none waits longer than the timeout of the
connection, but for the two that say so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis
from redis.exceptions import NoScriptError

from dockerparallel_redis_queue_container import scripts
from dockerparallel_redis_queue_container.keys import key_prefix
from dockerparallel_redis_queue_container.settings import QueueSettings

MOST_PAYLOAD = 512 * 1024 * 1024 - 4096
"""The biggest task or outcome, in bytes: Redis' limit of a value (``proto-max-bulk-len``)."""

_SIGNAL_SECONDS = 5
_MOST_BYTES = 16 * 1024 * 1024
_DIGESTS = {text: hashlib.sha1(text.encode()).hexdigest() for text in scripts.ALL_SCRIPTS}  # noqa: S324  # Redis names scripts by SHA-1


class Claim(NamedTuple):
    """A task that a worker holds: how many workers have died over it, and the pickled task."""

    task_id: str
    attempts: int
    payload: bytes


class Finished(NamedTuple):
    """What a worker says of a task that it has run."""

    task_id: str
    succeeded: bool
    outcome: bytes


class Delivery(NamedTuple):
    """One result as the client takes it."""

    task_id: str
    outcome: bytes


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

    # The client's side -----------------------------------------------------------------------

    def announce_client(self, client: str) -> None:
        """Tell the server that results of this client are wanted."""
        self._command("SET", self._key(f"client:{client}"), "1", "EX", self.settings.result_expiry)

    def client_known(self, client: str) -> bool:
        """Renew the announcement; ``False`` where the server has lost it, and so its data."""
        key = self._key(f"client:{client}")
        return bool(self._command("EXPIRE", key, self.settings.result_expiry))

    def forget_client(self, client: str) -> None:
        """Drop the client's results, those that are still to come included, and wake it."""
        signal = self._key(f"signal:{client}")
        with self.connection.pipeline(transaction=True) as pipeline:
            pipeline.delete(self._key(f"client:{client}"), self._key(f"results:{client}"))
            pipeline.rpush(signal, "1")
            pipeline.expire(signal, _SIGNAL_SECONDS)
            pipeline.execute()

    def submit(self, client: str, tasks: Iterable[tuple[str, bytes]]) -> bool:
        """Put tasks at the end of the queue, in their order and in one round trip.

        Returns
        -------
        bool
            ``False``, with nothing done, where the server does not know the client (any more).
        """
        arguments = [part for task in tasks for part in task]
        return bool(self._script(scripts.SUBMIT, client, *arguments))

    def cancel(self, task_ids: Sequence[str]) -> list[bool]:
        """Cancel the tasks that no worker has begun; tell of each whether it will never run."""
        if not task_ids:
            return []
        return [bool(done) for done in self._script(scripts.CANCEL, *task_ids)]

    def is_running(self, task_id: str) -> bool:
        """Tell whether a worker has begun the task, and has not finished it."""
        return bool(self._command("HEXISTS", self._key("owners"), task_id))

    def wait_for_results(self, client: str, seconds: float) -> None:
        """Block until there may be new results, at most ``seconds``."""
        self._command("BLPOP", self._key(f"signal:{client}"), seconds)

    def take(self, client: str, arrived: Sequence[Delivery], most: int = 256) -> list[Delivery]:
        """Return results, oldest first, and acknowledge those of the call before.

        Parameters
        ----------
        client
            The id of the client.
        arrived
            What the last successful call returned: the server drops these now. Results stay on
            the server until then, so that a lost reply loses none.
        most
            The most results to return; fewer where they are big.
        """
        last = arrived[-1].task_id if arrived else ""
        reply = self._script(scripts.TAKE, client, len(arrived), last, most, _MOST_BYTES)
        return [
            Delivery(task_id.decode(), outcome)
            for task_id, outcome in zip(reply[::2], reply[1::2], strict=True)
        ]

    # The worker's side -----------------------------------------------------------------------

    def claim(self, worker: str, finished: Finished | None = None) -> tuple[bool, list[Claim]]:
        """Hand in a finished task, if any, and take the next one, in one step.

        Tasks that the worker holds already (their reply was lost, or :meth:`wait_for_task` moved
        them) come first.

        Returns
        -------
        counted : bool
            Whether the finished task was still this worker's: else its outcome was dropped,
            since the task was given to another worker meanwhile.
        claims : list of Claim
            The task to run now; empty where none waits.
        """
        arguments: list[Any] = [worker, _milliseconds(self.settings.lease), 1]
        if finished is not None:
            field = "done" if finished.succeeded else "failed"
            arguments += [finished.task_id, field, self.settings.result_expiry, finished.outcome]
        counted, *parts = self._script(scripts.CLAIM, *arguments)
        claims = [
            Claim(task_id.decode(), int(attempts), payload)
            for task_id, attempts, payload in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        ]
        return bool(counted), claims

    def wait_for_task(self, worker: str, seconds: float) -> None:
        """Block until a task may wait for this worker, at most ``seconds``; then claim.

        A task that came is in the worker's list already, so a lost reply does not lose it.
        """
        source, target = self._key("tasks"), self._key(f"claimed:{worker}")
        self._command("BLMOVE", source, target, "LEFT", "RIGHT", seconds)

    # The supervisor's side -------------------------------------------------------------------

    def renew(self, workers: Iterable[tuple[str, str]]) -> None:
        """Renew the leases of live workers, each with the JSON text that describes it."""
        arguments = [part for worker in workers for part in worker]
        self._script(scripts.RENEW, _milliseconds(self.settings.lease), *arguments)

    def bury(self, worker: str, died: bytes, *, blame: bool) -> int:
        """End the lease of a dead worker and give its tasks to others.

        Parameters
        ----------
        worker
            The id of the worker.
        died
            The outcome of a task that has now killed too many workers.
        blame
            Whether its death counts against the task it ran; not so where we ended it.

        Returns
        -------
        int
            The number of tasks that it held.
        """
        limits = (self.settings.max_attempts, self.settings.result_expiry)
        return int(self._script(scripts.BURY, worker, *limits, died, int(blame)))

    def reap(self, died: bytes) -> int:
        """Give the tasks of workers whose lease is over to others; returns how many."""
        limits = (self.settings.max_attempts, self.settings.result_expiry)
        grace = _milliseconds(self.settings.late_move)
        return int(self._script(scripts.REAP, *limits, grace, died))

    # Both sides ------------------------------------------------------------------------------

    def put_code(self, digest: str, bundle: bytes) -> None:
        """Store a source bundle for the workers."""
        self._command("HSET", self._key("code"), digest, bundle)

    def get_code(self, digest: str) -> bytes | None:
        """Return a stored source bundle."""
        bundle: bytes | None = self._command("HGET", self._key("code"), digest)
        return bundle

    def workers(self) -> list[dict[str, Any]]:
        """Return the descriptions of the workers that are alive, in the order they started."""
        texts = self._command("HVALS", self._key("workers"))
        return sorted((json.loads(text) for text in texts), key=lambda item: item["started"])

    def numbers(self) -> dict[str, dict[str, int]]:
        """Return ``counts``, ``done`` and ``failed`` (see ``keys.py``), and ``sizes``.

        ``sizes`` has the numbers of tasks that are ``waiting`` and ``running``.
        """
        with self.connection.pipeline(transaction=True) as pipeline:
            for name in ("counts", "done", "failed"):
                pipeline.hgetall(self._key(name))
            pipeline.hlen(self._key("payloads"))
            pipeline.hlen(self._key("owners"))
            *tables, payloads, owners = pipeline.execute()
        counts, done, failed = (
            {name.decode(): int(number) for name, number in table.items()} for table in tables
        )
        sizes = {"waiting": max(0, payloads - owners), "running": owners}
        return {"counts": counts, "done": done, "failed": failed, "sizes": sizes}

    # -----------------------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        return key_prefix(self.job_queue_name) + name

    def _command(self, *parts: Any) -> Any:
        return self.connection.execute_command(*parts)  # type: ignore[no-untyped-call]

    def _script(self, text: str, *arguments: Any) -> Any:
        prefix = key_prefix(self.job_queue_name)
        try:
            return self._command("EVALSHA", _DIGESTS[text], 1, prefix, *arguments)
        except NoScriptError:
            # The server is new, or was restarted: it learns the script and runs it.
            return self._command("EVAL", text, 1, prefix, *arguments)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
