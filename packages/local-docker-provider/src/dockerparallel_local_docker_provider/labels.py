"""The labels of everything that the provider makes: what belongs to which cluster.

They hold no secret: everybody who may use the engine can read them.
"""

from __future__ import annotations

import getpass
import platform
from enum import StrEnum

from dockerparallel_local_docker_provider._version import __version__

CLUSTER = "dockerparallel.cluster"
"""``job_queue_name`` of the cluster."""

CLUSTER_ID = "dockerparallel.cluster-id"
"""Tells the cluster from an earlier or later one of the same name."""

ROLE = "dockerparallel.role"
"""What a container is for, a :class:`Role`."""

HANDLE = "dockerparallel.handle"
"""The name of a container inside its cluster, such as ``worker-1f0c9a``."""

WORKERS = "dockerparallel.workers"
"""How many workers a container runs."""

STARTED = "dockerparallel.started"
"""When a container was asked for, in nanoseconds of the session's clock.

The engine's list has whole seconds, and the newest of several is the first to go.
"""

OWNER = "dockerparallel.owner"
"""Who started it, as ``user@host``."""

VERSION = "dockerparallel.version"
"""The version of the provider that made it."""

BUILT = "dockerparallel.built-on-demand"
"""Of an image that the provider has built because it was missing: the name that it gave to it.

Deep clean-up removes it.
"""


class Role(StrEnum):
    """What a container is for."""

    SERVER = "server"
    WORKER = "worker"
    STORE = "store"
    """Never started: holds the static data where the cluster's server is external."""


def owner() -> str:
    """Return who runs this session, as ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A user id without a name, as in many containers.
        user = "unknown"
    return f"{user}@{platform.node()}"


def common(cluster: str, cluster_id: str) -> dict[str, str]:
    """Return the labels of whatever belongs to a cluster."""
    return {CLUSTER: cluster, CLUSTER_ID: cluster_id, OWNER: owner(), VERSION: __version__}
