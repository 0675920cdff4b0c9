"""DockerParallel containers whose workers take their tasks from a queue in Redis or Valkey.

``RedisQueueWorkerContainer`` is what a user gives to ``DockerCluster`` (by the name
``"redis-queue"``, too). It makes ``redis-queue`` joblib's default backend while the cluster runs,
and gives a ``concurrent.futures`` executor by ``cluster.worker_container.executor()``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dockerparallel_redis_queue_container._version import __version__
from dockerparallel_redis_queue_container.errors import (
    CodeShippingError,
    ImageBuildError,
    JobError,
    JobExistsError,
    JobInUseError,
    JobNotFoundError,
    ModuleNotOnWorkerError,
    NotAQueueServerError,
    PackageInstallError,
    ProtocolVersionError,
    PythonVersionError,
    QueueConnectionError,
    QueueFullError,
    QueueTimeoutError,
    RemoteTaskError,
    RemoteTraceback,
    ResultError,
    ServerBinaryNotFoundError,
    SettingsError,
    WorkerDiedError,
    WorkerStartError,
    WrongPasswordError,
)

if TYPE_CHECKING:
    from dockerparallel_redis_queue_container.container import (
        RedisQueueServerContainer,
        RedisQueueWorkerContainer,
    )
    from dockerparallel_redis_queue_container.executor import ClusterExecutor
    from dockerparallel_redis_queue_container.futures import ClusterFuture
    from dockerparallel_redis_queue_container.joblib_backend import RedisQueueBackend

__all__ = [
    "ClusterExecutor",
    "ClusterFuture",
    "CodeShippingError",
    "ImageBuildError",
    "JobError",
    "JobExistsError",
    "JobInUseError",
    "JobNotFoundError",
    "ModuleNotOnWorkerError",
    "NotAQueueServerError",
    "PackageInstallError",
    "ProtocolVersionError",
    "PythonVersionError",
    "QueueConnectionError",
    "QueueFullError",
    "QueueTimeoutError",
    "RedisQueueBackend",
    "RedisQueueServerContainer",
    "RedisQueueWorkerContainer",
    "RemoteTaskError",
    "RemoteTraceback",
    "ResultError",
    "ServerBinaryNotFoundError",
    "SettingsError",
    "WorkerDiedError",
    "WorkerStartError",
    "WrongPasswordError",
    "__version__",
]

# The programs in the containers are waited for at each start, and need none of these.
_LATER = {
    "ClusterExecutor": "executor",
    "ClusterFuture": "futures",
    "RedisQueueBackend": "joblib_backend",
    "RedisQueueServerContainer": "container",
    "RedisQueueWorkerContainer": "container",
}


def __getattr__(name: str) -> Any:
    """Import what only clients use when it is first asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List also what is not imported yet."""
    return sorted({*globals(), *__all__})
