"""The parallel backend of a cluster in the user's session."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dockerparallel.context import cluster_context
from dockerparallel.errors import ServerNotRunningError, WaitTimeoutError
from dockerparallel.serving import refresh_server
from dockerparallel.status import Status

if TYPE_CHECKING:
    from dockerparallel.cluster import DockerCluster

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 1.0
# What is waited for in vain is at most this share of the server's own time.
_GROWTH = 1.2


def register_backend(cluster: DockerCluster, **options: Any) -> None:
    """Wait for the server and register; see ``DockerCluster.register_backend``."""
    if not cluster.runtime.has_server:
        reason = cluster.state.server_stop_reason
        raise ServerNotRunningError(
            "The backend cannot be registered because no server runs: call cluster.start() or "
            f"cluster.start_server() first.{' The last one: ' + reason if reason else ''}"
        )
    _wait_for_server(cluster)
    state = cluster.state
    # Not under the lock: a container may wait here for the server to answer.
    with cluster_context(cluster):
        state.worker_container.register_parallel_backend(cluster, **options)
    state.registered = True


def _wait_for_server(cluster: DockerCluster) -> None:
    state = cluster.state
    deadline = time.monotonic() + state.server_timeout
    pause = _FIRST_PAUSE
    while (status := refresh_server(cluster)) is Status.INITIALIZING:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise WaitTimeoutError(
                f"The server was still initializing after {state.server_timeout:g} s: look at its "
                "log, or set cluster.server_timeout higher and call cluster.register_backend()."
            )
        if pause == _FIRST_PAUSE:
            state.logger.info("Waiting for the server, at most %g s.", state.server_timeout)
        time.sleep(min(pause, remaining))
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)
    if status is Status.STOPPED:
        raise ServerNotRunningError(
            "The server stopped before the backend could be registered; call cluster.start() to "
            f"try again. {state.server_stop_reason or 'The provider knows no reason.'}"
        )


def deregister_backend(cluster: DockerCluster, **options: Any) -> None:
    """Deregister the backend; see ``DockerCluster.deregister_backend``."""
    state = cluster.state
    state.registered = False
    with cluster_context(cluster):
        state.worker_container.deregister_parallel_backend(cluster, **options)
