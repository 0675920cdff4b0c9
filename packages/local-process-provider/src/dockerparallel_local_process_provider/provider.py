"""The provider that runs plain processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dockerparallel import (
    Capability,
    ClusterNotFoundError,
    InvalidValueError,
    ProviderError,
    ServerAddress,
    Status,
)
from dockerparallel.validation import check_seconds, check_str
from dockerparallel_local_process_provider import leftovers
from dockerparallel_local_process_provider.deployment import Deployment
from dockerparallel_local_process_provider.exports import LogsAndLeftovers
from dockerparallel_local_process_provider.launch import (
    check_command,
    end_processes,
    launch,
    target_of,
)
from dockerparallel_local_process_provider.ports import (
    PortClaim,
    accepts_connections,
    listens,
)
from dockerparallel_local_process_provider.processes import is_alive, members_of
from dockerparallel_local_process_provider.store import (
    ClusterFolder,
    ProcessRecord,
    StoredCluster,
)
from dockerparallel_managed_provider import ManagedCloudProvider

if TYPE_CHECKING:
    from dockerparallel import DockerCluster, DockerContainer, DockerHardware

_EVERYWHERE = {"0.0.0.0", "::", "*"}  # noqa: S104 - these are refused


class LocalProcessProvider(LogsAndLeftovers, ManagedCloudProvider):
    """Runs the server and the workers of a cluster as processes of this machine.

    A container is one process group that runs ``container.command``; its image, and the hardware
    that was asked for, are not looked at. All that is known of the cluster stands in a file that
    other sessions of this user read and change too, so that all see the same processes.

    Parameters
    ----------
    host
        Address of this machine on which the server listens and is reached.
    runtime_folder
        Folder for the files of running clusters, of which nothing is left after ``stop``. By
        default ``$XDG_RUNTIME_DIR/dockerparallel``, or where the variable is not set
        ``dockerparallel-<user id>`` in the folder for temporary files.
    stop_timeout
        Seconds that a process has to end after SIGTERM, before it is killed; and again until the
        system has removed it.
    lock_timeout
        Seconds to wait while another session changes the same cluster.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        An argument does not fit.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.SERVER_STATUS,
            Capability.WORKER_NUMBERS,
            Capability.RECONNECT,
            Capability.CLEANUP,
            Capability.SHARED_CONTAINERS,
            Capability.SECRET_CHANNEL,
        }
    )

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        runtime_folder: str | os.PathLike[str] | None = None,
        stop_timeout: float = 10.0,
        lock_timeout: float = 30.0,
    ) -> None:
        if check_str("host", host) in _EVERYWHERE:
            raise InvalidValueError(
                f"host {host!r} is no address to connect to: give one address of this machine."
            )
        self._deployment = Deployment(
            host,
            None if runtime_folder is None else Path(runtime_folder).absolute(),
            check_seconds("stop_timeout", stop_timeout),
            check_seconds("lock_timeout", lock_timeout),
        )
        self._server_answered = False
        self._port_claim: PortClaim | None = None

    # The server -----------------------------------------------------------------------------

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        """Start the server; on another port, where that of ``cluster.config`` is taken.

        ``cluster.config.server_port`` is set to it then, and the container configured again.

        Raises
        ------
        InvalidValueError
            The container has no command, or the port cannot be used.
        ClusterExistsError
            Another session has started a cluster of this name meanwhile.
        ProviderError
            The program cannot be started.
        """
        check_command(container)
        with self._deployment.changing(cluster) as (folder, stored):
            self._end_server(folder, stored)
            wanted = cluster.config.server_port
            self._port_claim = self._deployment.reserve_port(folder, stored, wanted)
            port = self._port_claim.port
            if port != wanted:
                cluster.logger.info("Port %d is taken: the server gets %d.", wanted, port)
                cluster.config.server_port = port
                plain = cluster.state.server_container or container
                container = plain.configure_server_env(cluster)
            stored.static_data = cluster.static_data()
            self._server_answered = False
            stored.server = launch(container, "server", 0, folder, stored)

    def stop_server(self, cluster: DockerCluster) -> None:
        """End the server's process group; idempotent.

        Raises
        ------
        ProviderError
            Some of it lives on after SIGKILL.
        """
        with self._deployment.changing_if_there() as ours:
            if ours is not None:
                self._end_server(*ours)

    def server_status(self, cluster: DockerCluster) -> Status:
        """Return INITIALIZING until the server accepts connections, STOPPED once it is dead."""
        stored = self._deployment.stored()
        if stored is None or stored.server is None or stored.port is None:
            return Status.STOPPED
        if not is_alive(stored.server.identity):
            return Status.STOPPED
        if not self._server_answered and accepts_connections(stored.host, stored.port):
            server = target_of(self._deployment.folder(cluster), stored, stored.server)
            self._server_answered = listens(stored.port, members_of(server))
            if self._server_answered:
                self._release_port()
        return Status.RUNNING if self._server_answered else Status.INITIALIZING

    def server_stop_reason(self, cluster: DockerCluster) -> str:
        """Return how the server's process has ended, and the end of its log."""
        stored = self._deployment.stored()
        if stored is None or stored.server is None:
            return "Another session has stopped it."
        return self._deployment.death_of(cluster, stored.server)

    def server_address(self, cluster: DockerCluster) -> ServerAddress:
        """Return the address of the server, the same from everywhere on this machine."""
        stored = self._deployment.stored()
        if stored is None or stored.port is None:
            return ServerAddress()
        return ServerAddress(stored.host, stored.port, stored.host, stored.port)

    def _release_port(self) -> None:
        if self._port_claim is not None:
            self._port_claim.release()
            self._port_claim = None

    def _end_server(self, folder: ClusterFolder, stored: StoredCluster) -> None:
        self._release_port()
        if stored.server is None:
            return
        timeout = self._deployment.stop_timeout
        if end_processes(folder, stored, [stored.server], timeout):
            raise ProviderError(
                f"The server (process {stored.server.pid}), or what it has started, lives on "
                f"{timeout:g} s after SIGKILL: look at it by ps, and try again."
            )
        stored.server = None

    # The workers ----------------------------------------------------------------------------

    def set_worker_number(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> None:
        """Start or kill workers, while no other session does; see the base class."""
        with self._deployment.folder(cluster).locked():
            super().set_worker_number(cluster, container, hardware, worker_number)

    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        """Start process groups of up to ``container.max_worker_num`` workers each.

        Raises
        ------
        InvalidValueError
            The container has no command.
        ClusterExistsError
            Another session has started a cluster of this name meanwhile.
        ProviderError
            A program cannot be started; those before it run, and are known.
        """
        handles: list[str] = []
        with self._deployment.changing(cluster) as (folder, stored):
            stored.static_data = cluster.static_data()
            while len(handles) < worker_number:
                workers = min(container.max_worker_num, worker_number - len(handles))
                packed = (
                    container if workers == 1 else container.configure_worker_env(cluster, workers)
                )
                handle = f"worker-{stored.next_number}"
                stored.next_number += 1
                stored.workers.append(launch(packed, handle, workers, folder, stored))
                handles += [handle] * workers
        return handles

    def worker_status(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        """Return RUNNING for each process that lives, STOPPED for others.

        A warning tells, once, how a process ended by itself, and the end of its log.
        """
        known = self._deployment.workers()
        return [self._status_of(cluster, known.get(handle)) for handle in handles]

    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        """End process groups, all at the same time."""
        left = self._end_workers(set(handles))
        return [handle not in left for handle in handles]

    def worker_names(self, cluster: DockerCluster) -> list[str]:
        """Return handles and process ids of the workers that live."""
        known = self._deployment.workers()
        return [f"{name} (process {known[name].pid})" for name in super().worker_names(cluster)]

    def worker_handles(self) -> list[str]:
        """Return the handles in the state file, where other sessions see and change them."""
        return [
            handle
            for handle, item in self._deployment.workers().items()
            for _ in range(item.workers)
        ]

    def add_worker_handles(self, handles: Iterable[str]) -> None:
        """Do nothing: each process was stored when it was started."""

    def remove_worker_handles(self, handles: Iterable[str]) -> None:
        """Remove processes from the state file, and end what dead ones have left running."""
        self._end_workers(set(handles))

    def _end_workers(self, handles: set[str]) -> set[str]:
        """End processes and forget them; return the handles of which something lives on."""
        with self._deployment.changing_if_there() as ours:
            if ours is None:
                return set()
            folder, stored = ours
            wanted = [record for record in stored.workers if record.handle in handles]
            left = end_processes(folder, stored, wanted, self._deployment.stop_timeout)
            stored.workers = [w for w in stored.workers if w not in wanted or w in left]
            return {record.handle for record in left}

    def _status_of(self, cluster: DockerCluster, record: ProcessRecord | None) -> Status:
        if record is None:
            return Status.STOPPED
        if is_alive(record.identity):
            return Status.RUNNING
        self._deployment.report_death(cluster, record)
        return Status.STOPPED

    # The cluster ----------------------------------------------------------------------------

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        """Tell whether the server or a worker of a cluster of this name lives.

        Raises
        ------
        StaticDataError
            The state file of that name cannot be read.
        """
        stored = self._deployment.folder_named(cluster.config.job_queue_name).read()
        return stored is not None and leftovers.lives(stored)

    def reconnect(self, cluster: DockerCluster) -> None:
        """Take over the cluster of this name from the state file.

        Raises
        ------
        ClusterNotFoundError
            It has ended meanwhile.
        StaticDataError
            The state file cannot be read.
        """
        name = cluster.config.job_queue_name
        folder = self._deployment.folder_named(name)
        stored = folder.read()
        if stored is None:
            raise ClusterNotFoundError(f"The cluster {name!r} has ended meanwhile: call start().")
        cluster.set_static_data(stored.static_data)
        self._deployment.take(folder, stored)
        self._server_answered = False

    def cleanup(self, cluster: DockerCluster, deep: bool = False) -> None:
        """End what workers have left running, and remove the cluster's folder.

        A cluster of the same name that another session has started is left alone.

        Parameters
        ----------
        deep
            Remove also what crashed clusters of other names have left.
        """
        deployment = self._deployment
        folder = deployment.folder(cluster)
        with folder.locked():
            stored = folder.read()
            if stored is None or deployment.is_ours(stored) or not leftovers.lives(stored):
                leftovers.remove(folder, stored, deployment.stop_timeout)
        deployment.forget()
        if deep:
            leftovers.remove_dead(deployment.all_folders(), deployment.stop_timeout)
