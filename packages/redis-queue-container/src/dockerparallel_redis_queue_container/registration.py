"""Which cluster is joblib's default backend, and each cluster's connection to its queue.

All of it lives in this process and holds no cluster: connections are found by the state of their
cluster, weakly, and the backend that joblib makes knows a connection and the configuration.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import joblib.parallel

from dockerparallel.errors import BackendError
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.joblib_backend import (
    BACKEND_NAME,
    RedisQueueBackend,
    backend_class,
)

if TYPE_CHECKING:
    from dockerparallel.config import CloudConfig
    from dockerparallel.state import ClusterState


@dataclass
class _Registration:
    """A cluster that is, or may be again, joblib's default."""

    client: QueueClient
    backend: type[RedisQueueBackend]
    default_before: str


# Its published types know only joblib's own backend classes, and not that any factory will do.
_joblib: Any = joblib.parallel

_lock = threading.RLock()
_clients: weakref.WeakKeyDictionary[ClusterState, QueueClient] = weakref.WeakKeyDictionary()
_job_clients: weakref.WeakKeyDictionary[ClusterState, weakref.WeakSet[QueueClient]] = (
    weakref.WeakKeyDictionary()
)
_registrations: list[_Registration] = []


def client_of(state: ClusterState) -> QueueClient | None:
    """Return the open connection of a cluster; ``None`` without one, or where it is broken."""
    with _lock:
        client = _clients.get(state)
    return None if client is None or client.broken else client


def keep_client(state: ClusterState, client: QueueClient) -> QueueClient:
    """Make ``client`` the connection of a cluster, unless another thread was first.

    Returns
    -------
    QueueClient
        The connection of the cluster now; the one given is closed where it is not that.
    """
    with _lock:
        replaced = _clients.get(state)
        present = client_of(state)
        if present is None:
            _clients[state] = client
    if present is not None:
        client.close()
        return present
    if replaced is not None:
        _end(replaced)
    # For a cluster that was only connected to, which the core does not stop when it is dropped.
    weakref.finalize(state, _end, client).atexit = False
    return client


def keep_job(state: ClusterState, client: QueueClient) -> None:
    """Note a connection that holds a job, so that it ends when the cluster's does."""
    with _lock:
        _job_clients.setdefault(state, weakref.WeakSet()).add(client)


def make_default(state: ClusterState, client: QueueClient) -> None:
    """Make the cluster joblib's default backend; it goes before one registered earlier."""
    with _lock:
        if any(registration.client is client for registration in _registrations):
            return
        backend = _backend_of(client, state.config)
        _registrations.append(_Registration(client, backend, _joblib.DEFAULT_BACKEND))
        _joblib.register_parallel_backend(BACKEND_NAME, backend, make_default=True)


def drop(state: ClusterState) -> None:
    """Restore joblib's default as it was before the cluster, and close its connection.

    Idempotent. A default that the user has chosen meanwhile stays.
    """
    with _lock:
        client = _clients.pop(state, None)
        holders = list(_job_clients.pop(state, ()))
    for holder in holders:
        holder.close()
    if client is not None:
        _end(client)


def _end(client: QueueClient) -> None:
    _withdraw(client)
    client.close()


def _withdraw(client: QueueClient) -> None:
    with _lock:
        found = [item for item in _registrations if item.client is client]
        if not found:
            return
        [registration] = found
        index = _registrations.index(registration)
        del _registrations[index]
        if index < len(_registrations):
            above = _registrations[index]
            if above.default_before == BACKEND_NAME:
                above.default_before = registration.default_before
            return
        backends = _joblib.BACKENDS
        if backends.get(BACKEND_NAME) is not registration.backend:
            # Somebody has registered another backend under our name: it is theirs now.
            return
        ours_is_default = _joblib.DEFAULT_BACKEND == BACKEND_NAME
        backends[BACKEND_NAME] = _registrations[-1].backend if _registrations else _no_cluster
        before = registration.default_before
        if ours_is_default and before in backends:
            _joblib.register_parallel_backend(before, backends[before], make_default=True)


def _backend_of(client: QueueClient, config: CloudConfig) -> type[RedisQueueBackend]:
    return backend_class(client, lambda: config.expected_worker_number)


def _no_cluster(**_options: Any) -> RedisQueueBackend:
    raise BackendError(
        "No cluster is registered as joblib's backend 'redis-queue' now: call cluster.start() or "
        "cluster.register_backend() first, or choose another backend."
    )
