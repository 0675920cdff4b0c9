"""Run parallel Python on a cluster of containers, on whatever runs containers.

A *provider* says where containers run, a *container* which parallel backend they serve, and
``DockerCluster`` is the user's handle on a cluster of both::

    from dockerparallel import DockerCluster

    with DockerCluster(provider="local-process", worker_container="redis-queue", worker_number=4):
        ...  # joblib now computes on the cluster

Authors of extensions derive from :class:`CloudProvider` and :class:`DockerContainer`.
"""

from __future__ import annotations

from dockerparallel._version import __version__
from dockerparallel.capability import Capability
from dockerparallel.cluster import DockerCluster
from dockerparallel.config import CloudConfig
from dockerparallel.container import DockerContainer
from dockerparallel.context import current_cluster
from dockerparallel.errors import (
    BackendError,
    BrokenClusterError,
    ClusterExistsError,
    ClusterNotFoundError,
    ClusterRunningError,
    ClusterStateError,
    ContainerMismatchError,
    DockerParallelError,
    ExportedNameError,
    ExtensionConflictError,
    ExtensionError,
    ExtensionNotFoundError,
    InvalidTypeError,
    InvalidValueError,
    NoCurrentClusterError,
    ProviderError,
    ServerContainerError,
    ServerNotRunningError,
    StaticDataError,
    WaitTimeoutError,
    WorkersSurvivedError,
)
from dockerparallel.exported import exported
from dockerparallel.extensions import ExtensionInfo, installed_extensions
from dockerparallel.external_server import ExternalServer
from dockerparallel.hardware import DockerHardware
from dockerparallel.log import install_fallback_handler
from dockerparallel.presets import cluster_preset
from dockerparallel.provider import CloudProvider
from dockerparallel.runtime import CloudRuntime
from dockerparallel.status import Endpoint, ServerAddress, Status, WorkerNumbers

install_fallback_handler()

__all__ = [
    "BackendError",
    "BrokenClusterError",
    "Capability",
    "CloudConfig",
    "CloudProvider",
    "CloudRuntime",
    "ClusterExistsError",
    "ClusterNotFoundError",
    "ClusterRunningError",
    "ClusterStateError",
    "ContainerMismatchError",
    "DockerCluster",
    "DockerContainer",
    "DockerHardware",
    "DockerParallelError",
    "Endpoint",
    "ExportedNameError",
    "ExtensionConflictError",
    "ExtensionError",
    "ExtensionInfo",
    "ExtensionNotFoundError",
    "ExternalServer",
    "InvalidTypeError",
    "InvalidValueError",
    "NoCurrentClusterError",
    "ProviderError",
    "ServerAddress",
    "ServerContainerError",
    "ServerNotRunningError",
    "StaticDataError",
    "Status",
    "WaitTimeoutError",
    "WorkerNumbers",
    "WorkersSurvivedError",
    "__version__",
    "cluster_preset",
    "current_cluster",
    "exported",
    "installed_extensions",
]
