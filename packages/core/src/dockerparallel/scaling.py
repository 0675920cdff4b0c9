"""The workers of a cluster: their number, and keeping it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockerparallel.errors import ServerNotRunningError
from dockerparallel.serving import refresh_server
from dockerparallel.state import ClusterState, ensure_initialized, extension_call
from dockerparallel.status import Status, WorkerNumbers
from dockerparallel.validation import check_int

if TYPE_CHECKING:
    from dockerparallel.cluster import DockerCluster
    from dockerparallel.container import DockerContainer


def set_worker_number(cluster: DockerCluster, worker_number: int) -> None:
    """Remember the number and act on it; see ``DockerCluster.set_worker_number``."""
    check_int("worker number", worker_number, minimum=0)
    with extension_call(cluster) as state:
        state.config.expected_worker_number = worker_number
        runtime = state.runtime
        last_seen = runtime.initializing_worker_number + runtime.running_worker_number
        if refresh_server(cluster) is not Status.STOPPED:
            ensure_initialized(cluster)
            state.active, state.stopped = True, False
            deploy(cluster, worker_number)
        elif state.initialized and worker_number < last_seen:
            deploy(cluster, worker_number)


def deploy(cluster: DockerCluster, worker_number: int) -> None:
    """Ask the provider for ``worker_number`` workers and note how many there are then."""
    with extension_call(cluster) as state:
        if worker_number != state.requested_workers:
            state.logger.info("Setting the number of workers to %d.", worker_number)
        if worker_number == 0 or not state.runtime.has_server:
            # Ending workers needs no configuration, and a dead server has no address for one.
            container = state.worker_container.copy()
        else:
            state.worker_container.check()
            container = state.worker_container.configure_worker_env(cluster, 1)
        state.provider.set_worker_number(
            cluster, container, state.config.worker_hardware, worker_number
        )
        state.requested_workers = worker_number
        _count(cluster, state)


def worker_numbers(cluster: DockerCluster) -> WorkerNumbers:
    """Count the workers; see ``DockerCluster.worker_numbers``."""
    with extension_call(cluster) as state:
        numbers = _count(cluster, state) if state.initialized else WorkerNumbers(0, 0)
        return numbers._replace(expected=state.config.expected_worker_number)


def _count(cluster: DockerCluster, state: ClusterState) -> WorkerNumbers:
    counted = state.provider.worker_numbers(cluster)
    numbers = WorkerNumbers(counted[0], counted[1])
    state.runtime.record_workers(numbers)
    return numbers


def update(cluster: DockerCluster) -> None:
    """Bring dead workers back while the server lives; see ``DockerCluster.update``."""
    with extension_call(cluster) as state:
        if state.stopped or not state.active or refresh_server(cluster) is Status.STOPPED:
            return
        set_worker_number(cluster, state.config.expected_worker_number)


def external_worker(cluster: DockerCluster, worker_number: int) -> DockerContainer:
    """Configure a worker that runs elsewhere; see ``DockerCluster.external_worker``."""
    check_int("worker_number", worker_number, minimum=1)
    with extension_call(cluster) as state:
        if not state.runtime.has_server:
            raise ServerNotRunningError(
                "An external worker needs the address of a server, and none runs: call "
                "cluster.start() or cluster.start_server() first."
            )
        same_lan = state.config.server_worker_same_lan
        runtime = state.runtime
        if runtime.server_public_ip is not None and not runtime.server_from_other_source:
            # Such a worker stands outside the provider's network, whatever the cluster's own do.
            state.config.server_worker_same_lan = False
        try:
            return state.worker_container.configure_worker_env(cluster, worker_number)
        finally:
            state.config.server_worker_same_lan = same_lan
