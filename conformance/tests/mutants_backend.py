"""Mutants of the promises C-14 to C-22: the parallel backend in the user's session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, as_completed
from typing import Any, ClassVar

from memory_container import MemoryServerContainer, MemoryWorkerContainer
from memory_executor import MemoryExecutor
from memory_tasks import PASSWORD
from mutation import Mutant

from dockerparallel import BackendError, DockerCluster, DockerContainer

OPEN = "a password that everybody knows"


class _LocalExecutor(MemoryExecutor):
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class ComputesInTheClient(MemoryWorkerContainer):
    """Runs tasks where they are given."""

    executor_class: ClassVar[type[MemoryExecutor]] = _LocalExecutor


class _HurriedExecutor(MemoryExecutor):
    def map(self, fn: Callable[..., Any], *iterables: Any, **_options: Any) -> Iterator[Any]:
        futures = [self.submit(fn, *arguments) for arguments in zip(*iterables, strict=True)]
        return (future.result() for future in as_completed(futures))


class GivesResultsAsTheyCome(MemoryWorkerContainer):
    """Gives results in the order of their completion."""

    executor_class: ClassVar[type[MemoryExecutor]] = _HurriedExecutor


class _QuietExecutor(MemoryExecutor):
    def map(self, fn: Callable[..., Any], *iterables: Any, **_options: Any) -> Iterator[Any]:
        futures = [self.submit(fn, *arguments) for arguments in zip(*iterables, strict=True)]
        return (future.exception() or future.result() for future in futures)


class GivesExceptionsAsResults(MemoryWorkerContainer):
    """Gives the exception of a task instead of raising it."""

    executor_class: ClassVar[type[MemoryExecutor]] = _QuietExecutor


class _VagueExecutor(MemoryExecutor):
    def map(self, fn: Callable[..., Any], *iterables: Any, **options: Any) -> Iterator[Any]:
        try:
            yield from super().map(fn, *iterables, **options)
        except ValueError as error:
            raise BackendError(f"a task failed: {error}") from error


class RaisesAnotherException(MemoryWorkerContainer):
    """Raises an error of its own for each error of a task."""

    executor_class: ClassVar[type[MemoryExecutor]] = _VagueExecutor


class RegistersOnce(MemoryWorkerContainer):
    """Refuses to register again."""

    def register_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        if self.is_registered(cluster):
            raise BackendError("the backend is registered already")
        super().register_parallel_backend(cluster, **options)


class StaysRegistered(MemoryWorkerContainer):
    """Leaves its backend in the session."""

    def deregister_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        pass


class CannotDeregisterNothing(MemoryWorkerContainer):
    """Looks up what is registered without thinking that there may be nothing."""

    def deregister_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        if not self.is_registered(cluster):
            raise KeyError(cluster.config.job_queue_name)
        super().deregister_parallel_backend(cluster, **options)


class _OpenServer(MemoryServerContainer):
    def server_environment(self, cluster: DockerCluster) -> dict[str, str]:
        return {**super().server_environment(cluster), PASSWORD: OPEN}


class LetsEverybodyIn(MemoryWorkerContainer):
    """Configures a password, and uses one that everybody knows."""

    def server_container(self) -> DockerContainer:
        return _OpenServer()

    def worker_environment(self, cluster: DockerCluster, worker_number: int) -> dict[str, str]:
        return {**super().worker_environment(cluster, worker_number), PASSWORD: OPEN}

    def open_executor(
        self, cluster: DockerCluster, timeout: float, *, keep: DockerCluster | None = None
    ) -> MemoryExecutor:
        endpoint = cluster.server_address_for_client()
        return self.executor_class(endpoint, OPEN, cluster=keep, timeout=timeout)


class WaitsForEver(MemoryWorkerContainer):
    """Waits without end for a server that does not answer."""

    def open_executor(
        self, cluster: DockerCluster, timeout: float, *, keep: DockerCluster | None = None
    ) -> MemoryExecutor:
        return super().open_executor(cluster, 1e6, keep=keep)


_kept: list[DockerCluster] = []


class KeepsTheHandle(MemoryWorkerContainer):
    """Keeps the clusters that were registered."""

    def register_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        super().register_parallel_backend(cluster, **options)
        _kept.append(cluster)


MUTANTS = (
    Mutant("C-14", container=ComputesInTheClient),
    Mutant("C-15", container=GivesResultsAsTheyCome),
    Mutant("C-16", container=GivesExceptionsAsResults),
    Mutant("C-16", container=RaisesAnotherException),
    Mutant("C-17", container=RegistersOnce),
    Mutant("C-18", container=StaysRegistered),
    Mutant("C-19", container=CannotDeregisterNothing),
    Mutant("C-20", container=LetsEverybodyIn),
    Mutant("C-21", container=WaitsForEver, timeout=2.0),
    Mutant("C-22", container=KeepsTheHandle),
)
