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

import json
from collections.abc import Iterable
from typing import Any

from dockerparallel_redis_queue_container.client_commands import ClientCommands
from dockerparallel_redis_queue_container.records import Numbers
from dockerparallel_redis_queue_container.worker_commands import WorkerCommands

BLOB_SECONDS = 600
"""How long a blob is kept that no task needs yet."""


class TaskQueue(ClientCommands, WorkerCommands):
    """One job queue on a server; see :class:`QueueLine` for the parameters."""

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


def _by_start(texts: Iterable[bytes]) -> list[dict[str, Any]]:
    return sorted((json.loads(text) for text in texts), key=lambda item: item["started"])
