"""What the session computes with: the executors of the clusters that are registered.

The one that was registered last is the current one. Nothing here holds a cluster's handle.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memory_executor import MemoryExecutor

from dockerparallel import BackendError

if TYPE_CHECKING:
    from dockerparallel.state import ClusterState


@dataclass
class _Registration:
    state: ClusterState
    executor: MemoryExecutor


_lock = threading.RLock()
_registrations: list[_Registration] = []


def executor_of(state: ClusterState) -> MemoryExecutor | None:
    """Return the executor that is registered for a cluster and still works."""
    with _lock:
        for item in _registrations:
            if item.state is state and not item.executor.broken:
                return item.executor
    return None


def register(state: ClusterState, executor: MemoryExecutor) -> None:
    """Make an executor the current one; one that the cluster had before is closed."""
    with _lock:
        deregister(state)
        _registrations.append(_Registration(state, executor))


def deregister(state: ClusterState) -> None:
    """Close the executor of a cluster, and make the one before it current; idempotent."""
    with _lock:
        for item in [item for item in _registrations if item.state is state]:
            _registrations.remove(item)
            item.executor.close()


def deregister_all() -> None:
    """Close all executors, for instance those that a broken container has left."""
    with _lock:
        while _registrations:
            deregister(_registrations[-1].state)


def current_executor() -> MemoryExecutor:
    """Return what the session computes with.

    Raises
    ------
    BackendError
        No cluster is registered.
    """
    with _lock:
        if not _registrations:
            raise BackendError("No cluster is registered: call cluster.start().")
        return _registrations[-1].executor


def backend_state() -> object:
    """Return a value that tells what the session computes with; ``None`` for nothing."""
    with _lock:
        if not _registrations:
            return None
        current = _registrations[-1]
        return (current.state.config.job_queue_name, id(current.state))
