"""The numbers that a user sees of the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.connection import explain

if TYPE_CHECKING:
    from dockerparallel import DockerCluster


def cluster_stats(client: QueueClient, cluster: DockerCluster) -> dict[str, Any]:
    """Return the numbers of a cluster's queue; see ``RedisQueueWorkerContainer.stats``.

    Raises
    ------
    QueueConnectionError
        The server does not answer.
    """
    try:
        numbers = client.queue.numbers()
        workers = client.queue.workers()
    except (RedisError, OSError) as error:
        endpoint = cluster.server_address_for_client()
        raise explain(error, endpoint, client.server_timeout) from error
    counts = numbers["counts"]
    return {
        **numbers["sizes"],
        **{name: counts.get(name, 0) for name in ("done", "failed", "retried", "died")},
        "workers": [
            {
                **{name: worker[name] for name in ("id", "host", "pid", "python")},
                "done": numbers["done"].get(worker["id"], 0),
                "failed": numbers["failed"].get(worker["id"], 0),
            }
            for worker in workers
        ],
    }
