"""Ending a cluster: every step is tried, whatever happens to the others.

Workers and servers cost money, so an error in one step never keeps the next from being tried.
Nothing here starts a thread: it runs at interpreter exit too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from dockerparallel.backend import deregister_backend
from dockerparallel.errors import ClusterRunningError, WorkersSurvivedError
from dockerparallel.scaling import deploy, worker_numbers
from dockerparallel.serving import refresh_server, stop_server
from dockerparallel.state import ensure_initialized, extension_call
from dockerparallel.status import Status

if TYPE_CHECKING:
    from dockerparallel.cluster import DockerCluster


def stop(cluster: DockerCluster, *, ignore_errors: bool) -> None:
    """End the cluster; see ``DockerCluster.stop``."""
    errors = stop_all(cluster)
    if ignore_errors:
        for error in errors:
            warnings.warn(describe(error), RuntimeWarning, stacklevel=3)
    elif errors:
        first, *others = errors
        for other in others:
            first.add_note(f"While stopping, there was also: {describe(other)}")
        raise first


def describe(error: BaseException) -> str:
    """Return the error's class and text on one line, for a warning or a note."""
    return f"{type(error).__name__}: {error}"


def stop_all(cluster: DockerCluster) -> list[Exception]:
    """Try every step of stopping and return the errors, first things first."""
    errors: list[Exception] = []
    state = cluster.state
    state.stopped = True
    if state.registered:
        _attempt(errors, lambda: deregister_backend(cluster))
    if state.active and state.initialized:
        # Under one lock, so that no other thread starts a worker in between.
        with extension_call(cluster):
            _attempt(errors, lambda: deploy(cluster, 0))
            server_ended = _attempt(errors, lambda: stop_server(cluster))
            workers_ended = _attempt(errors, lambda: _check_no_worker_left(cluster))
            if server_ended and workers_ended:
                _attempt(errors, lambda: state.provider.cleanup(cluster, deep=False))
            state.active = bool(errors)
    return errors


def _attempt(errors: list[Exception], step: Callable[[], None]) -> bool:
    try:
        step()
    except Exception as error:  # noqa: BLE001 - it is handed to the caller with the others
        errors.append(error)
        return False
    return True


def _check_no_worker_left(cluster: DockerCluster) -> None:
    numbers = worker_numbers(cluster)
    left = numbers.initializing + numbers.running
    if left:
        names = ", ".join(cluster.state.provider.worker_names(cluster))
        raise WorkersSurvivedError(
            f"{left} worker(s) of cluster {cluster.config.job_queue_name!r} are still there after "
            f"stop(){': ' + names if names else ''}. They may cost money, and nothing was cleaned "
            "up: call stop() again, or end them with the tools of the platform."
        )


def cleanup(cluster: DockerCluster, *, deep: bool) -> None:
    """Remove what the provider made; see ``DockerCluster.cleanup``."""
    with extension_call(cluster) as state:
        ensure_initialized(cluster)
        name = state.config.job_queue_name
        if not state.active and state.provider.cluster_exists(cluster):
            raise ClusterRunningError(
                f"Clean-up was refused because a cluster {name!r} runs, started elsewhere: call "
                "cluster.reconnect() and cluster.stop() first."
            )
        external = state.runtime.server_from_other_source
        if not external and refresh_server(cluster) is not Status.STOPPED:
            raise ClusterRunningError(
                f"Clean-up was refused because the server of {name!r} still runs: call "
                "cluster.stop() first."
            )
        numbers = worker_numbers(cluster)
        if numbers.initializing + numbers.running:
            raise ClusterRunningError(
                f"Clean-up was refused because {numbers.initializing + numbers.running} worker(s) "
                f"of {name!r} are still there: call cluster.stop() first."
            )
        state.provider.cleanup(cluster, deep=deep)
