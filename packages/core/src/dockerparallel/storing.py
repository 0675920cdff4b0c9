"""The whole cluster as static data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dockerparallel.container import DockerContainer
from dockerparallel.errors import ContainerMismatchError
from dockerparallel.external_server import ExternalServer
from dockerparallel.state import ClusterState
from dockerparallel.static_data import FORMAT, check_format


def cluster_static_data(state: ClusterState) -> dict[str, Any]:
    """Return settings, containers and external server as JSON types."""
    server, external = state.server_container, state.external_server
    return {
        "format": FORMAT,
        "config": state.config.static_data(),
        "server_container": None if server is None else server.static_data(),
        "worker_container": state.worker_container.static_data(),
        "external_server": None if external is None else external.static_data(),
    }


def restore_cluster(state: ClusterState, data: Mapping[str, Any]) -> None:
    """Take over what :func:`cluster_static_data` returned.

    The containers come first, so that a mismatch changes nothing.
    """
    check_format("the cluster", data)
    with state.lock:
        worker, server = state.worker_container, state.server_container
        if data.get("worker_container") is not None:
            worker = _restored(state, worker, data["worker_container"])
        if data.get("server_container") is not None and server is not None:
            server = _restored(state, server, data["server_container"])
        state.worker_container, state.server_container = worker, server
        if data.get("config") is not None:
            state.config.set_static_data(data["config"])
        if data.get("external_server") is not None:
            known = ExternalServer.__dataclass_fields__
            stored = {key: v for key, v in data["external_server"].items() if key in known}
            state.use_external_server(ExternalServer(**stored))


def _restored(
    state: ClusterState, container: DockerContainer, data: Mapping[str, Any]
) -> DockerContainer:
    restored = container.copy()
    try:
        restored.set_static_data(data)
    except ContainerMismatchError:
        if not state.any_container_class:
            raise
        # The cluster is being removed, for which any container does.
        return container
    return restored
