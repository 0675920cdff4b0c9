"""Runs the server and the workers of a cluster as containers of a Docker engine.

The engine may be on this machine or, by ssh or TLS, on another: it is the one that the ``docker``
command would use. Workers are isolated, identical, and limited in cores and memory.
"""

from __future__ import annotations

from dockerparallel_local_docker_provider._version import __version__
from dockerparallel_local_docker_provider.errors import (
    EngineError,
    EnginePermissionError,
    EngineTimeoutError,
    EngineUnreachableError,
    ForwardError,
    ImageUnavailableError,
    NetworkPoolError,
    PortTakenError,
)
from dockerparallel_local_docker_provider.leftovers import EngineCluster
from dockerparallel_local_docker_provider.provider import LocalDockerProvider

__all__ = [
    "EngineCluster",
    "EngineError",
    "EnginePermissionError",
    "EngineTimeoutError",
    "EngineUnreachableError",
    "ForwardError",
    "ImageUnavailableError",
    "LocalDockerProvider",
    "NetworkPoolError",
    "PortTakenError",
    "__version__",
]
