"""The containers of the in-memory pair, which keep every promise of a container.

They are made of small methods, so that a subclass can break one promise alone.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import memory_registration
from memory_executor import MemoryExecutor
from memory_registration import backend_state, current_executor
from memory_tasks import PASSWORD, PORT, SERVER_HOST, SERVER_PORT, WORKERS

from dockerparallel import DockerContainer, InvalidTypeError, exported
from dockerparallel.validation import check_int, check_seconds

if TYPE_CHECKING:
    from dockerparallel import DockerCluster

__all__ = ["MemoryServerContainer", "MemoryWorkerContainer", "backend_state", "current_executor"]

CLUSTER_NAME = "MEMORY_CLUSTER_NAME"


def command(role: str) -> list[str]:
    """Return the command that runs a container outside a memory cloud."""
    return ["python", str(Path(__file__).with_name("memory_tasks.py")), role]


@dataclasses.dataclass(repr=False)
class MemoryServerContainer(DockerContainer):
    """The queue of tasks."""

    image: str = "memory-server"
    name: str = "memory-server"
    backend: str = "memory"

    def configure_server_env(self, cluster: DockerCluster) -> Self:
        """Return a copy that knows its port and, as a secret, the password."""
        container = self.copy()
        container.environment |= self.server_environment(cluster)
        container.secrets |= self.server_secrets(cluster)
        return container

    def server_environment(self, cluster: DockerCluster) -> dict[str, str]:
        """Return what the server must know."""
        return {
            PORT: str(cluster.config.server_port),
            CLUSTER_NAME: cluster.config.job_queue_name,
        }

    def server_secrets(self, cluster: DockerCluster) -> dict[str, str]:
        """Return what nobody else may know."""
        return {PASSWORD: cluster.config.server_password}

    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        """Refuse: this container runs no workers."""
        raise InvalidTypeError("This container cannot be the worker_container of a cluster.")

    def register_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        """Refuse: the worker container has the backend."""
        raise InvalidTypeError("This container cannot be the worker_container of a cluster.")


@dataclasses.dataclass(repr=False)
class MemoryWorkerContainer(DockerContainer):
    """Workers that take tasks from the queue.

    Parameters
    ----------
    task_attempts
        How many workers a task may take with it before it fails.
    """

    # What executors are made of; a mutant has another.
    executor_class: ClassVar[type[MemoryExecutor]] = MemoryExecutor

    image: str = "memory-worker"
    name: str = "memory-worker"
    backend: str = "memory"
    task_attempts: int = 3

    def server_container(self) -> DockerContainer:
        """Return the server of this backend."""
        return MemoryServerContainer()

    # What is configured ---------------------------------------------------------------------

    def configure_server_env(self, cluster: DockerCluster) -> Self:
        """Refuse: this container is no server."""
        raise InvalidTypeError("This container cannot be the server_container of a cluster.")

    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        """Return a copy that knows the server, how many workers it runs, and the password."""
        check_int("worker_number", worker_number, minimum=1, maximum=self.max_worker_num)
        container = self.to_configure()
        container.environment |= self.worker_environment(cluster, worker_number)
        container.secrets |= self.worker_secrets(cluster)
        return container

    def to_configure(self) -> Self:
        """Return the object that is configured, which is not this one."""
        return self.copy()

    def worker_environment(self, cluster: DockerCluster, worker_number: int) -> dict[str, str]:
        """Return what the workers must know."""
        endpoint = cluster.server_address_for_workers()
        return {
            SERVER_HOST: endpoint.host,
            SERVER_PORT: str(endpoint.port),
            CLUSTER_NAME: cluster.config.job_queue_name,
            WORKERS: str(worker_number),
        }

    def worker_secrets(self, cluster: DockerCluster) -> dict[str, str]:
        """Return what nobody else may know."""
        return {PASSWORD: cluster.config.server_password}

    # The backend ----------------------------------------------------------------------------

    def register_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        """Make the cluster what the session computes with.

        Parameters
        ----------
        cluster
            The cluster.
        **options
            ``timeout`` (5): seconds for the server to answer.

        Raises
        ------
        BackendError
            The server cannot be reached, or refuses the password.
        InvalidTypeError, InvalidValueError
            An option is unknown, or no positive number.
        """
        timeout = check_seconds("timeout", options.pop("timeout", 5.0))
        if options:
            raise InvalidTypeError(f"unknown options {sorted(options)}: there is 'timeout'.")
        if not self.is_registered(cluster):
            self.register(cluster, self.open_executor(cluster, timeout))

    def is_registered(self, cluster: DockerCluster) -> bool:
        """Tell whether the cluster is registered, and still answers."""
        return memory_registration.executor_of(cluster.state) is not None

    def register(self, cluster: DockerCluster, executor: MemoryExecutor) -> None:
        """Make an executor the current one of the session."""
        memory_registration.register(cluster.state, executor)

    def deregister_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        """Make current what was so before; harmless where nothing is registered."""
        if options:
            raise InvalidTypeError(f"unknown options {sorted(options)}: there are none.")
        memory_registration.deregister(cluster.state)

    def open_executor(
        self, cluster: DockerCluster, timeout: float, *, keep: DockerCluster | None = None
    ) -> MemoryExecutor:
        """Return an executor over the cluster's workers, which keeps ``keep`` alive."""
        return self.executor_class(
            cluster.server_address_for_client(),
            cluster.config.server_password,
            cluster=keep,
            timeout=timeout,
            attempts=self.task_attempts,
        )

    # What the user sees ---------------------------------------------------------------------

    @exported
    def executor(self, cluster: DockerCluster) -> MemoryExecutor:
        """Return an executor over the workers; it keeps the cluster alive until its shutdown."""
        return self.open_executor(cluster, 1.0, keep=cluster)

    @property
    @exported
    def attempts(self) -> int:
        """How many workers a task of a later executor may take with it before it fails."""
        return self.task_attempts

    @attempts.setter
    def attempts(self, value: int) -> None:
        self.task_attempts = check_int("attempts", value, minimum=1)
