"""The errors of the redis-queue container.

All of them have the core's root, and each one also derives from the built-in that a caller
would catch::

    DockerParallelError
    +-- SettingsError                ValueError
    +-- ServerBinaryNotFoundError    FileNotFoundError
    +-- BackendError                 RuntimeError, of the core
    |   +-- PythonVersionError
    |   +-- ProtocolVersionError
    |   +-- QueueFullError
    |   +-- JobError
    |   |   +-- JobExistsError
    |   |   +-- JobNotFoundError     LookupError
    |   |   +-- JobInUseError
    |   +-- QueueConnectionError     ConnectionError
    |       +-- WrongPasswordError   PermissionError
    |       +-- NotAQueueServerError
    |       +-- QueueTimeoutError    TimeoutError
    +-- CodeShippingError            ValueError
    +-- ModuleNotOnWorkerError       ModuleNotFoundError
    +-- TaskPicklingError            pickle.PicklingError, TypeError
    +-- ResultError                  pickle.PicklingError
    +-- RemoteTaskError              RuntimeError
    +-- WorkerDiedError              concurrent.futures.BrokenExecutor
    +-- PackageInstallError          RuntimeError
    +-- WorkerStartError             RuntimeError
    +-- ImageBuildError              RuntimeError

``RemoteTraceback`` is no error of ours: it only carries the text of a traceback that was made on
a worker, as the ``__cause__`` of the exception that arrived from there.
"""

from __future__ import annotations

import pickle
from concurrent.futures import BrokenExecutor

from dockerparallel.errors import BackendError, DockerParallelError

__all__ = [
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
    "RemoteTaskError",
    "RemoteTraceback",
    "ResultError",
    "ServerBinaryNotFoundError",
    "SettingsError",
    "TaskPicklingError",
    "WorkerDiedError",
    "WorkerStartError",
    "WrongPasswordError",
]


class SettingsError(DockerParallelError, ValueError):
    """A setting of the container is missing or has a value that cannot be used."""


class ServerBinaryNotFoundError(DockerParallelError, FileNotFoundError):
    """Neither a Redis nor a Valkey server program was found on the machine."""


class QueueConnectionError(BackendError, ConnectionError):
    """The server of the queue cannot be reached."""


class WrongPasswordError(QueueConnectionError, PermissionError):
    """The server of the queue refused the password."""


class NotAQueueServerError(QueueConnectionError):
    """Something answered at the server's address, but it does not speak the Redis protocol."""


class QueueTimeoutError(QueueConnectionError, TimeoutError):
    """The server of the queue, or an expected worker, did not answer within the time given."""


class QueueFullError(BackendError):
    """The memory of the queue's server stayed full, so it took no more tasks."""


class PythonVersionError(BackendError):
    """Client and worker run different minor versions of Python, which cannot share pickles."""


class JobError(BackendError):
    """A named job cannot be had as it was asked for."""


class JobExistsError(JobError):
    """There is a job of that name already."""


class JobNotFoundError(JobError, LookupError):
    """There is no job of that name (any more)."""


class JobInUseError(JobError):
    """Another session holds the job."""


class ProtocolVersionError(BackendError):
    """Client and worker have versions of this package that do not fit together."""


class CodeShippingError(DockerParallelError, ValueError):
    """A module of the user cannot be sent to the workers, for instance because it is too big."""


class ModuleNotOnWorkerError(DockerParallelError, ModuleNotFoundError):
    """A task needs a module that the worker cannot import and that is not shipped."""


class TaskPicklingError(DockerParallelError, pickle.PicklingError, TypeError):
    """A batch of joblib's cannot be pickled; its cause is what pickling it raised.

    A ``PicklingError``, as joblib's own backends raise, and a ``TypeError``, as pickle mostly does.
    """


class ResultError(DockerParallelError, pickle.PicklingError):
    """A result, or an exception, cannot travel from the worker to the client."""


class RemoteTaskError(DockerParallelError, RuntimeError):
    """Stands in for an exception of a task that could not be sent to the client itself."""


class WorkerDiedError(DockerParallelError, BrokenExecutor):
    """The workers that ran a task died, each time, until the task was given up.

    ``BrokenExecutor`` is what a process pool of the standard library raises in this case. Unlike
    there, the executor goes on working: only this task has failed.

    Parameters
    ----------
    message : str
        What happened.
    attempts : int
        How often the task was tried.
    exit_code : int, optional
        The exit code of the last worker, where its supervisor saw it end by itself.
    signal_number : int, optional
        The signal that ended the last worker, where its supervisor saw that.
    memory_limit : int, optional
        The limit of the container's memory, in bytes, where the kernel ended the last worker for
        it.
    log_tail : str, optional
        The end of the last worker's log, at most 4 KiB and the report of a crash, where its
        supervisor saw it die: what it logged, and what its tasks printed and logged. What programs
        that a task starts and native code write is only in the log itself.
    """

    def __init__(
        self,
        message: str,
        attempts: int = 0,
        exit_code: int | None = None,
        signal_number: int | None = None,
        memory_limit: int | None = None,
        log_tail: str = "",
    ) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.exit_code = exit_code
        self.signal_number = signal_number
        self.memory_limit = memory_limit
        self.log_tail = log_tail


class PackageInstallError(DockerParallelError, RuntimeError):
    """A package that the user asked for could not be installed on a worker."""


class WorkerStartError(DockerParallelError, RuntimeError):
    """Worker processes could not be started, or ended again and again before they were ready."""


class ImageBuildError(DockerParallelError, RuntimeError):
    """The image of the containers could not be built."""


class RemoteTraceback(Exception):  # noqa: N818  # the text of a traceback, not an error
    """The traceback of an exception as it was printed on the worker.

    ``str()`` gives the text, so that Python's normal display of chained exceptions shows it.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text
