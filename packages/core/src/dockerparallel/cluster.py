"""The user's handle on a cluster."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Self

from dockerparallel import backend, display, exit_hooks, lifecycle, scaling, serving, stopping
from dockerparallel.config import CloudConfig
from dockerparallel.container import DockerContainer
from dockerparallel.errors import InvalidTypeError, ServerContainerError
from dockerparallel.exported import ExportedView
from dockerparallel.external_server import ExternalServer
from dockerparallel.hardware import DockerHardware
from dockerparallel.lifecycle import IfExists
from dockerparallel.log import ClusterLogger
from dockerparallel.presets import resolve_container, resolve_provider
from dockerparallel.provider import CloudProvider
from dockerparallel.runtime import CloudRuntime
from dockerparallel.state import ClusterState, check_verbose
from dockerparallel.status import Endpoint, WorkerNumbers
from dockerparallel.storing import cluster_static_data, restore_cluster
from dockerparallel.validation import check_bool, check_seconds


class DockerCluster:
    """A cluster of containers, one server and many workers, that computes for this session.

    Making one touches nothing: :meth:`start` does. As a context manager it starts on enter, and
    stops on exit where ``stop_on_exit``. Dropping the last reference, or leaving the interpreter,
    stops it too where ``stop_on_exit``, in the process that made it. All methods may be called
    from any thread.

    Parameters
    ----------
    provider
        Where containers run: a :class:`CloudProvider`, the name of an installed one, or ``None``
        for that of :func:`cluster_preset`. The cluster works on a copy.
    worker_container
        What the workers run: a :class:`DockerContainer`, a name, or ``None``, likewise.
    worker_number
        How many workers :meth:`start` shall run, at least 0.
    worker_cpu, worker_memory, worker_hardware_id
        Hardware of each worker: 1/1024 cores, MiB, and a type that the provider knows.
    server_cpu, server_memory, server_hardware_id
        Hardware of the server, likewise.
    job_queue_name
        Name of the cluster. Two clusters are the same if their names are equal.
    private_server
        An :class:`ExternalServer` that runs already, instead of a server of the cluster's own.
    server_container
        What the server runs; by default what ``worker_container.server_container()`` gives.
    stop_on_exit
        Whether the cluster stops when this handle is gone or the interpreter exits.
    verbose
        0 for warnings, 1 for progress, 2 for detail; see :attr:`verbose`.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        An argument does not fit; the message names it, its value, and what would do.
    ServerContainerError
        There is no server container, and no ``private_server`` either.
    ExtensionError
        An extension given by name is not installed, or cannot be loaded.
    """

    __slots__ = ("__weakref__", "_state")

    _state: ClusterState

    def __init__(
        self,
        provider: CloudProvider | str | None = None,
        worker_container: DockerContainer | str | None = None,
        worker_number: int = 1,
        worker_cpu: int = 1024,
        worker_memory: int = 2048,
        worker_hardware_id: str | None = None,
        server_cpu: int = 256,
        server_memory: int = 2048,
        server_hardware_id: str | None = None,
        job_queue_name: str = "DockerParallelQueue",
        private_server: ExternalServer | None = None,
        server_container: DockerContainer | None = None,
        stop_on_exit: bool = True,
        verbose: int = 1,
    ) -> None:
        cloud = resolve_provider(provider)
        worker = resolve_container(worker_container)
        if private_server is not None and not isinstance(private_server, ExternalServer):
            raise InvalidTypeError(
                f"private_server must be an ExternalServer or None, not {private_server!r}."
            )
        worker.check()
        config = CloudConfig(
            job_queue_name=job_queue_name,
            expected_worker_number=worker_number,
            worker_hardware=DockerHardware(worker_cpu, worker_memory, worker_hardware_id),
            server_hardware=DockerHardware(server_cpu, server_memory, server_hardware_id),
        )
        self._state = ClusterState(
            provider=cloud.copy(),
            server_container=_server_container(server_container, worker, private_server),
            worker_container=worker.copy(),
            config=config,
            external_server=private_server,
            stop_on_exit=stop_on_exit,
            verbose=verbose,
        )
        exit_hooks.watch(self)

    @classmethod
    def from_state(cls, state: ClusterState) -> Self:
        """Wrap a state in a fresh handle, which does not stop the cluster when it is dropped.

        Used by the core to stop a cluster whose own handle is gone.
        """
        handle = cls.__new__(cls)
        handle._state = state  # noqa: SLF001 - a handle of this class
        return handle

    # Life of the cluster --------------------------------------------------------------------

    def start(self, if_exists: IfExists | None = None) -> None:
        """Start the server and the workers, and register the parallel backend.

        Does nothing new where the cluster of this handle runs already, except to bring it to the
        expected number of workers. If any step fails, what was started is stopped before the
        error leaves. It may block: as long as the platform takes, then up to
        :attr:`server_timeout` until the server runs, then as long as the backend allows. On the
        main thread it makes SIGTERM end the process like ``sys.exit``, unless the program has a
        handler of its own.

        Parameters
        ----------
        if_exists
            What to do if a cluster of this name runs already: ``"reconnect"`` to it, remove it
            and start a ``"new"`` one, raise an ``"error"``, or ``"ask"`` (on a terminal only).
            ``None`` asks on a terminal and raises elsewhere.

        Raises
        ------
        ClusterExistsError
            A cluster of this name runs, and ``if_exists`` or the answer says to leave it.
        WaitTimeoutError
            The server did not run in time.
        ServerNotRunningError
            The server stopped while it was waited for.
        DockerParallelError
            What the provider or the container raises.
        """
        lifecycle.start(self, if_exists)

    def stop(self, ignore_errors: bool = False) -> None:
        """Deregister the backend, stop all workers and the server, and clean up.

        Every step is tried, whatever happens to the others. The expected number of workers is
        kept for another :meth:`start`. An external server is left alone. Idempotent.

        Parameters
        ----------
        ignore_errors
            Turn each error into a ``RuntimeWarning`` with its text.

        Raises
        ------
        WorkersSurvivedError
            Workers are still there; clean-up was skipped.
        Exception
            The first error of a step; notes on it tell the others.
        """
        stopping.stop(self, ignore_errors=check_bool("ignore_errors", ignore_errors))

    def update(self) -> None:
        """Bring back workers that died, if the server lives; after :meth:`stop`, do nothing."""
        scaling.update(self)

    def exists(self) -> bool:
        """Ask the provider whether a cluster of this name runs, in whatever process it began."""
        return lifecycle.exists(self)

    def reconnect(self) -> None:
        """Take over the running cluster of this name, with its settings and containers.

        :attr:`stop_on_exit` becomes False: the cluster outlives this session, as it did the one
        that started it. The expected number becomes that of the workers that are there.

        Raises
        ------
        ClusterNotFoundError
            No cluster of this name runs.
        ServerNotRunningError
            Only workers of it are left: :meth:`stop` ends them.
        ContainerMismatchError
            It uses other container classes than those given here; the message names them.
        StaticDataError
            It was started by a version whose data this one cannot read.
        """
        lifecycle.reconnect(self)

    def cleanup(self, deep: bool = False) -> None:
        """Remove what the provider made for this cluster, after :meth:`stop`. Idempotent.

        Parameters
        ----------
        deep
            Remove also what later clusters would use again.

        Raises
        ------
        ClusterRunningError
            The server or workers still run.
        """
        stopping.cleanup(self, deep=check_bool("deep", deep))

    # Server and workers ---------------------------------------------------------------------

    def start_server(self) -> None:
        """Start the server unless it runs or is external; do not wait until it is ready."""
        serving.start_server(self)

    def stop_server(self) -> None:
        """Stop the server unless it is external. Idempotent."""
        serving.stop_server(self)

    def is_server_running(self) -> bool:
        """Ask the provider whether the server runs; an external server counts as running."""
        return serving.is_server_running(self)

    def set_worker_number(self, n: int) -> None:
        """Set the number of workers, now if a server runs, else for :meth:`start`.

        Fewer workers than now are seen to even if the server has died.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            ``n`` is not a whole number, or below 0.
        """
        scaling.set_worker_number(self, n)

    def worker_numbers(self) -> WorkerNumbers:
        """Ask the provider for the numbers of workers: initializing, running; and expected."""
        return scaling.worker_numbers(self)

    def external_worker(self, worker_number: int = 1) -> DockerContainer:
        """Return a container to start by hand elsewhere, whose workers join this cluster.

        Its workers reach the server by the public address where there is one, and are not
        counted as the provider's. The container holds secrets.

        Raises
        ------
        ServerNotRunningError
            No server runs, or it has no address for such a worker.
        """
        return scaling.external_worker(self, worker_number)

    def server_address_for_workers(self) -> Endpoint:
        """Return where workers reach the server; for containers that are configured.

        Raises
        ------
        ServerNotRunningError
            No server runs, or it has no such address.
        """
        private = self.config.server_worker_same_lan
        return serving.server_endpoint(self, party="workers", private=private)

    def server_address_for_client(self) -> Endpoint:
        """Return where this session reaches the server; for backends that are registered.

        Raises
        ------
        ServerNotRunningError
            No server runs, or it has no such address.
        """
        private = self.config.server_client_same_lan
        return serving.server_endpoint(self, party="client", private=private)

    # Parallel backend -----------------------------------------------------------------------

    def register_backend(self, **options: Any) -> None:
        """Make the container's parallel backend the one this session computes with.

        Waits up to :attr:`server_timeout` for a server that initializes.

        Parameters
        ----------
        **options
            For the backend; the container's documentation lists them.

        Raises
        ------
        ServerNotRunningError
            No server runs, or it stopped.
        WaitTimeoutError
            The server did not run in time.
        """
        backend.register_backend(self, **options)

    def deregister_backend(self, **options: Any) -> None:
        """Give this session back the parallel backend that it had before. Idempotent."""
        backend.deregister_backend(self, **options)

    # What the cluster is made of ------------------------------------------------------------

    @property
    def config(self) -> CloudConfig:
        """Settings, which may be set at any time; a change acts on what is started afterwards."""
        return self._state.config

    @property
    def runtime(self) -> CloudRuntime:
        """Last known facts of the server and the workers."""
        return self._state.runtime

    @property
    def state(self) -> ClusterState:
        """All that the cluster is made of; for extension code."""
        return self._state

    @property
    def logger(self) -> ClusterLogger:
        """Logger with this cluster's verbosity; for extension code."""
        return self._state.logger

    @property
    def cloud_provider(self) -> ExportedView:
        """What the provider exports to the user."""
        return ExportedView(self, "cloud_provider", self._state.provider)

    @property
    def server_container(self) -> ExportedView | None:
        """What the server container exports; ``None`` where there is none."""
        container = self._state.server_container
        return None if container is None else ExportedView(self, "server_container", container)

    @property
    def worker_container(self) -> ExportedView:
        """What the worker container exports to the user."""
        return ExportedView(self, "worker_container", self._state.worker_container)

    @property
    def verbose(self) -> int:
        """Which messages this cluster alone sends: 0 warnings, 1 progress, 2 detail."""
        return self._state.logger.verbose

    @verbose.setter
    def verbose(self, value: int) -> None:
        self._state.logger.verbose = check_verbose(value)

    @property
    def stop_on_exit(self) -> bool:
        """Whether the cluster stops when this handle is gone or the interpreter exits."""
        return self._state.stop_on_exit

    @stop_on_exit.setter
    def stop_on_exit(self, value: bool) -> None:
        self._state.stop_on_exit = check_bool("stop_on_exit", value)

    @property
    def server_timeout(self) -> float:
        """Seconds that :meth:`register_backend` waits for a server that initializes."""
        return self._state.server_timeout

    @server_timeout.setter
    def server_timeout(self, value: float) -> None:
        self._state.server_timeout = check_seconds("server_timeout", value)

    def static_data(self) -> dict[str, Any]:
        """Return what rebuilds the cluster elsewhere, as JSON types; it holds the password.

        Called by providers, which keep it in a secret place for :meth:`set_static_data`.
        """
        return cluster_static_data(self._state)

    def set_static_data(self, data: dict[str, Any]) -> None:
        """Take over the settings and containers of :meth:`static_data`.

        Called by the ``reconnect`` of providers. Unknown keys are ignored.

        Raises
        ------
        StaticDataError
            The data has a format that this version does not read.
        ContainerMismatchError
            It holds other container classes than those of this cluster.
        """
        restore_cluster(self._state, data)

    # Python protocols -----------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Start the cluster."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the cluster where ``stop_on_exit``, in the process that made it.

        Where an error leaves the block, errors of stopping become warnings beside it.
        """
        if self.stop_on_exit and self._state.owner_pid == os.getpid():
            self.stop(ignore_errors=error is not None)

    def __repr__(self) -> str:
        """Show what is known, without asking the provider, and no secret."""
        return display.text(self._state)

    def _repr_html_(self) -> str:
        return display.html(self._state)


def _server_container(
    given: DockerContainer | None, worker: DockerContainer, external: ExternalServer | None
) -> DockerContainer | None:
    """Return the cluster's own copy of the server container, or ``None`` where none is needed."""
    if given is None:
        try:
            given = worker.server_container()
        except ServerContainerError:
            if external is None:
                raise
            # An external server needs no container.
            return None
    if not isinstance(given, DockerContainer):
        raise InvalidTypeError(f"server_container must be a DockerContainer, not {given!r}.")
    given.check()
    return given.copy()
