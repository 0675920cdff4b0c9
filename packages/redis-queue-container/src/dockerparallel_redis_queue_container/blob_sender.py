"""Sends tasks whose large parts are stored apart."""

from __future__ import annotations

from dockerparallel import Endpoint
from dockerparallel_redis_queue_container.blob_link import BlobLink
from dockerparallel_redis_queue_container.large_parts import Buffer
from dockerparallel_redis_queue_container.records import BlobsMissingError, Task
from dockerparallel_redis_queue_container.sender import Sender
from dockerparallel_redis_queue_container.task_queue import BLOB_SECONDS, TaskQueue

_MOST_NAMES = 1000


class BlobSender:
    """Puts the blobs of tasks that the server does not have, and submits the tasks. Thread-safe.

    Parameters
    ----------
    queue
        Where blobs have their names.
    sender
        What submits the tasks.
    endpoint, password, timeout
        Of the connection that the blobs go over.
    """

    def __init__(
        self, queue: TaskQueue, sender: Sender, endpoint: Endpoint, password: str, timeout: float
    ) -> None:
        self._queue = queue
        self._sender = sender
        self._link = BlobLink(endpoint, password, timeout)
        self._put: set[str] = set()

    def send(self, task: Task, blobs: dict[str, Buffer]) -> None:
        """Send a task and those of its blobs that the server does not have; waits for the server.

        Raises
        ------
        BrokenClusterError, BackendError
            The server is gone, or refused them.
        """
        missing = [name for name in blobs if name not in self._put]
        while True:
            for name in missing:
                self._put_blob(name, blobs[name])
            try:
                self._sender.send_all([task])
            except BlobsMissingError as error:
                # They were dropped with the last task that needed them.
                missing = list(error.args)
            else:
                break
        if len(self._put) > _MOST_NAMES:
            # Forgotten ones are put again, which does no harm.
            self._put = set()
        self._put.update(blobs)

    def interrupt(self) -> None:
        """Fail what waits for the server; see :meth:`BlobLink.interrupt`."""
        self._link.interrupt()

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _put_blob(self, name: str, data: Buffer) -> None:
        key = self._queue.blob_key(name)
        self._sender.insist(lambda: self._link.put(key, data, BLOB_SECONDS))
