"""The server of a cluster: starting, stopping, watching, and where it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockerparallel.errors import ServerContainerError, ServerNotRunningError
from dockerparallel.state import ensure_initialized, extension_call
from dockerparallel.status import Endpoint, ServerAddress, Status

if TYPE_CHECKING:
    from dockerparallel.cluster import DockerCluster


def refresh_server(cluster: DockerCluster) -> Status:
    """Ask for the server's status and forget the address of one that has stopped.

    An external server counts as running, and the provider is not asked about it.
    """
    with extension_call(cluster) as state:
        if state.runtime.server_from_other_source:
            return Status.RUNNING
        if not state.runtime.has_server:
            return Status.STOPPED
        status = Status(state.provider.server_status(cluster))
        if status is Status.STOPPED:
            state.server_stop_reason = state.provider.server_stop_reason(cluster)
            state.logger.warning(
                "The server has stopped. %s",
                state.server_stop_reason or "The provider knows no reason.",
            )
            state.runtime.forget_server()
        return status


def start_server(cluster: DockerCluster) -> None:
    """Start the server unless one runs; see ``DockerCluster.start_server``."""
    with extension_call(cluster) as state:
        state.stopped = False
        if state.runtime.server_from_other_source:
            state.logger.debug("The server is external: nothing to start.")
            return
        ensure_initialized(cluster)
        if refresh_server(cluster) is not Status.STOPPED:
            state.logger.debug("The server runs already.")
            return
        if state.server_container is None:
            raise ServerContainerError(
                "There is no server container: pass server_container= to DockerCluster."
            )
        state.logger.info("Starting the server.")
        state.server_container.check()
        container = state.server_container.configure_server_env(cluster)
        state.active = state.server_started = True
        state.server_stop_reason = ""
        try:
            state.provider.run_server(cluster, container, state.config.server_hardware)
            address = ServerAddress(*state.provider.server_address(cluster))
        except BaseException as error:
            _undo_server(cluster, error)
            raise
        state.runtime.record_server(address)


def _undo_server(cluster: DockerCluster, cause: BaseException) -> None:
    """End a server whose start failed half-way; a further error is noted on ``cause``."""
    try:
        stop_server(cluster)
    except Exception as error:  # noqa: BLE001 - the first error matters more; it tells this one
        cause.add_note(f"The half-started server could not be stopped either: {error}")


def stop_server(cluster: DockerCluster) -> None:
    """End the server unless it is external; see ``DockerCluster.stop_server``."""
    with extension_call(cluster) as state:
        if state.runtime.server_from_other_source or not state.server_started:
            return
        state.logger.info("Stopping the server.")
        state.provider.stop_server(cluster)
        state.server_started = False
        state.runtime.forget_server()


def is_server_running(cluster: DockerCluster) -> bool:
    """Tell whether the server runs now; see ``DockerCluster.is_server_running``."""
    return refresh_server(cluster) is Status.RUNNING


def server_endpoint(cluster: DockerCluster, *, party: str, private: bool) -> Endpoint:
    """Return where ``party`` ("workers" or "client") reaches the server.

    The private address where ``private``, else the public one; the server's configured port where
    the address has none.
    """
    runtime = cluster.runtime
    if not runtime.has_server:
        raise ServerNotRunningError(
            "The server has no address, because none runs: call cluster.start() or "
            "cluster.start_server() first."
        )
    address = runtime.server_address
    host, port = (
        (address.private_ip, address.private_port)
        if private
        else (address.public_ip, address.public_port)
    )
    if host is None:
        kind, other = ("private", "False") if private else ("public", "True")
        flag = "server_worker_same_lan" if party == "workers" else "server_client_same_lan"
        raise ServerNotRunningError(
            f"The server has no {kind} address for the {party} to use ({address}): set "
            f"{flag}={other} (on cluster.config or ExternalServer) if the other one reaches it."
        )
    return Endpoint(host, cluster.config.server_port if port is None else port)
