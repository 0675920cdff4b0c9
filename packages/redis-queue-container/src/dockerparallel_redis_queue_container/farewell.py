"""How a client takes leave of the server: closed, dropped, or at the end of the interpreter."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from redis.exceptions import RedisError

from dockerparallel import BrokenClusterError
from dockerparallel_redis_queue_container.blob_sender import BlobSender
from dockerparallel_redis_queue_container.collector import Collector
from dockerparallel_redis_queue_container.futures import OpenFutures, after_exit
from dockerparallel_redis_queue_container.inbox import Inbox
from dockerparallel_redis_queue_container.sender import Sender
from dockerparallel_redis_queue_container.task_queue import TaskQueue


def closed() -> BrokenClusterError:
    """Return the error for the tasks of a client that was closed."""
    return BrokenClusterError(
        "The backend of the cluster was deregistered or the cluster stopped, so this task has no "
        "result. Start the cluster, or call cluster.register_backend(), and submit it again."
    )


def leave(inbox: Inbox, task_ids: Sequence[str] | None) -> None:
    """Tell the server that nobody waits any more, and close the connection of the inbox.

    Nothing is told where ``task_ids``, the client's open tasks, are ``None``: the server is gone.
    """
    if task_ids is not None:
        # Where it fails, the server's own expiry removes what is left of us.
        with suppress(RedisError, OSError):
            inbox.leave(task_ids)
    inbox.queue.close()


def interrupt(queue: TaskQueue, blobs: BlobSender) -> None:
    """End what threads of the client still wait for."""
    queue.interrupt()
    blobs.interrupt()


def abandon(
    sender: Sender,
    collector: Collector,
    futures: OpenFutures,
    queue: TaskQueue,
    leaving: Inbox,
    pid: int,
) -> None:
    """Take leave where nobody has closed the client: it was dropped, or the interpreter ends.

    Nothing is waited for. Does nothing in another process than that of the client, ``pid``.
    """
    if os.getpid() != pid:
        return
    sender.close()
    collector.close()
    futures.give_up(_ended, after_exit)
    leave(leaving, [])
    queue.close()


def _ended() -> BrokenClusterError:
    return BrokenClusterError(
        "The interpreter ends, and waits for no task of a cluster: wait for results, or call "
        "executor.shutdown(), before the program is over."
    )
