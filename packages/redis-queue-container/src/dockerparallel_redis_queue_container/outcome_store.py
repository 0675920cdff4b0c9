"""Where large outcomes are kept: beside the list of results, in fields of a hash.

The hash of a mailbox lives as long as its results. A field is named by the task and the worker, so
that an outdated attempt never changes what another one has delivered.
"""

from __future__ import annotations

from redis.exceptions import OutOfMemoryError

from dockerparallel_redis_queue_container.blob_link import BlobLink
from dockerparallel_redis_queue_container.keys import mailbox_of_task
from dockerparallel_redis_queue_container.large_outcomes import LargeOutcome, read_stub
from dockerparallel_redis_queue_container.large_parts import Buffer
from dockerparallel_redis_queue_container.queue_line import QueueLine


class OutcomeStore:
    """Puts and gets large outcomes; each method may be repeated. Thread-safe.

    All raise ``redis.RedisError`` or ``OSError`` where the server does not answer.

    Parameters
    ----------
    queue
        Whose outcomes they are.
    link
        The connection that they go over.
    """

    def __init__(self, queue: QueueLine, link: BlobLink) -> None:
        self._queue = queue
        self._link = link

    def put(self, task_id: str, worker: str, outcome: LargeOutcome) -> bytes:
        """Store an outcome, and return what stands for it in the record.

        That is all of it where the memory of the server is full.
        """
        keep_s = self._queue.settings.result_expiry
        pieces = [data for _, data in outcome.parts]
        try:
            self._link.put_field(self._key(task_id), _field(task_id, worker), pieces, keep_s)
        except OutOfMemoryError:
            # Outcomes are never refused as part of a claim.
            return outcome.inline()
        return outcome.stub(worker)

    def get(self, task_id: str, stub: Buffer) -> LargeOutcome | None:
        """Return a stored outcome; ``None`` where the server does not have it (any more)."""
        about = read_stub(stub)
        field = _field(task_id, about.worker)
        found = self._link.get_field(self._key(task_id), field, about.parts)
        return None if found is None else LargeOutcome(found)

    def drop(self, task_id: str, worker: str) -> None:
        """Remove what a worker has stored of a task, if anything."""
        self._queue.command("HDEL", self._key(task_id), _field(task_id, worker))

    def close(self) -> None:
        """Close the connection that outcomes go over."""
        self._link.close()

    def _key(self, task_id: str) -> str:
        return self._queue.key(f"parts:{mailbox_of_task(task_id)}")


def _field(task_id: str, worker: str) -> str:
    return f"{task_id} {worker}"
