"""DockerParallel containers whose workers take their tasks from a queue in Redis or Valkey.

``RedisQueueWorkerContainer`` is what a user gives to ``DockerCluster`` (by the name
``"redis-queue"``, too). It makes ``redis-queue`` joblib's default backend while the cluster runs,
and gives a ``concurrent.futures`` executor by ``cluster.worker_container.executor()``.
"""

from __future__ import annotations

from dockerparallel_redis_queue_container._version import __version__
from dockerparallel_redis_queue_container.container import (
    RedisQueueServerContainer,
    RedisQueueWorkerContainer,
)
from dockerparallel_redis_queue_container.errors import (
    CodeShippingError,
    ImageBuildError,
    ModuleNotOnWorkerError,
    NotAQueueServerError,
    PackageInstallError,
    PythonVersionError,
    QueueConnectionError,
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
from dockerparallel_redis_queue_container.executor import ClusterExecutor
from dockerparallel_redis_queue_container.futures import ClusterFuture
from dockerparallel_redis_queue_container.joblib_backend import RedisQueueBackend

__all__ = [
    "ClusterExecutor",
    "ClusterFuture",
    "CodeShippingError",
    "ImageBuildError",
    "ModuleNotOnWorkerError",
    "NotAQueueServerError",
    "PackageInstallError",
    "PythonVersionError",
    "QueueConnectionError",
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
