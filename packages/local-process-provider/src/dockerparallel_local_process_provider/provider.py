"""The provider that runs plain processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dockerparallel import (
    Capability,
    ClusterExistsError,
    ClusterNotFoundError,
    InvalidValueError,
    ProviderError,
    ServerAddress,
    Status,
    exported,
)
from dockerparallel.validation import check_int, check_job_queue_name, check_seconds, check_str
from dockerparallel_local_process_provider import leftovers
from dockerparallel_local_process_provider.launch import check_command, end_processes, launch
from dockerparallel_local_process_provider.logs import read_log, tail
from dockerparallel_local_process_provider.ports import accepts_connections, choose_port
from dockerparallel_local_process_provider.processes import how_it_ended, is_alive
from dockerparallel_local_process_provider.runtime_folder import default_runtime_folder
from dockerparallel_local_process_provider.store import (
    ClusterFolder,
    ProcessRecord,
    StoredCluster,
    folders_in,
)
from dockerparallel_managed_provider import ManagedCloudProvider

if TYPE_CHECKING:
    from dockerparallel import DockerCluster, DockerContainer, DockerHardware

_EVERYWHERE = {"0.0.0.0", "::", "*"}  # noqa: S104 - these are refused


class LocalProcessProvider(ManagedCloudProvider):
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
        self._host = check_str("host", host)
        if host in _EVERYWHERE:
            raise InvalidValueError(
                f"host {host!r} is no address to connect to: give one address of this machine."
            )
        self._runtime_folder = None if runtime_folder is None else Path(runtime_folder).absolute()
        self._stop_timeout = check_seconds("stop_timeout", stop_timeout)
        self._lock_timeout = check_seconds("lock_timeout", lock_timeout)
        # Which cluster this is: set by what starts its first process, and by reconnect.
        self._folder: ClusterFolder | None = None
        self._cluster_id = ""
        self._server_answered = False
        self._reported: set[str] = set()

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
        with self._changing(cluster) as (folder, stored):
            self._end_server(folder, stored)
            self._settle_port(cluster, folder, stored)
            if stored.port != cluster.config.server_port:
                container = self._move(cluster, container, stored)
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
        if self._stored() is not None:
            with self._changing(cluster) as (folder, stored):
                self._end_server(folder, stored)

    def server_status(self, cluster: DockerCluster) -> Status:
        """Return INITIALIZING until the server accepts connections, STOPPED once it is dead.

        A warning tells, once, how it ended and the end of its log.
        """
        stored = self._stored()
        if stored is None or stored.server is None or stored.port is None:
            return Status.STOPPED
        if not is_alive(stored.server.identity):
            self._report_death(cluster, stored.server)
            return Status.STOPPED
        if not self._server_answered:
            self._server_answered = accepts_connections(stored.host, stored.port)
        return Status.RUNNING if self._server_answered else Status.INITIALIZING

    def server_address(self, cluster: DockerCluster) -> ServerAddress:
        """Return the address of the server, the same from everywhere on this machine."""
        stored = self._stored()
        if stored is None or stored.port is None:
            return ServerAddress()
        return ServerAddress(stored.host, stored.port, stored.host, stored.port)

    def _settle_port(
        self, cluster: DockerCluster, folder: ClusterFolder, stored: StoredCluster
    ) -> None:
        """Store a free port before another session can choose the same."""
        with folder.root_locked():
            others = [other for other in self._all_folders() if other.path != folder.path]
            taken = leftovers.reserved_ports(others)
            stored.host = self._host
            stored.port = choose_port(self._host, cluster.config.server_port, taken)
            folder.write(stored)

    def _move(
        self, cluster: DockerCluster, container: DockerContainer, stored: StoredCluster
    ) -> DockerContainer:
        """Configure the server for the port that was free."""
        wanted, cluster.config.server_port = cluster.config.server_port, stored.port or 0
        cluster.logger.info("Port %d is taken: the server gets %d.", wanted, stored.port)
        server = cluster.state.server_container
        return (server or container).configure_server_env(cluster)

    def _end_server(self, folder: ClusterFolder, stored: StoredCluster) -> None:
        if stored.server is None:
            return
        if end_processes(folder, stored, [stored.server], self._stop_timeout):
            raise ProviderError(
                f"The server (process {stored.server.pid}), or what it has started, lives on "
                f"{self._stop_timeout:g} s after SIGKILL: look at it by ps, and try again."
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
        with (self._folder or self._folder_named(cluster.config.job_queue_name)).locked():
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
        with self._changing(cluster) as (folder, stored):
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
        known = self._workers()
        return [self._status_of(cluster, known.get(handle)) for handle in handles]

    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        """End process groups, all at the same time."""
        stored = self._stored()
        if stored is None or self._folder is None:
            return [True] * len(handles)
        records = [record for record in stored.workers if record.handle in handles]
        left = end_processes(self._folder, stored, records, self._stop_timeout)
        return [handle not in {record.handle for record in left} for handle in handles]

    def worker_names(self, cluster: DockerCluster) -> list[str]:
        """Return handles and process ids of the workers that live."""
        known = self._workers()
        return [f"{name} (process {known[name].pid})" for name in super().worker_names(cluster)]

    def worker_handles(self) -> list[str]:
        """Return the handles in the state file, where other sessions see and change them."""
        return [handle for handle, item in self._workers().items() for _ in range(item.workers)]

    def add_worker_handles(self, handles: Iterable[str]) -> None:
        """Do nothing: each process was stored when it was started."""

    def remove_worker_handles(self, handles: Iterable[str]) -> None:
        """Remove processes from the state file, and end what dead ones have left running."""
        gone = set(handles)
        if self._folder is None or not gone:
            return
        with self._folder.locked():
            stored = self._stored()
            if stored is None:
                return
            records = [record for record in stored.workers if record.handle in gone]
            left = end_processes(self._folder, stored, records, self._stop_timeout)
            stored.workers = [w for w in stored.workers if w.handle not in gone or w in left]
            self._folder.write(stored)

    def _status_of(self, cluster: DockerCluster, record: ProcessRecord | None) -> Status:
        if record is None:
            return Status.STOPPED
        if is_alive(record.identity):
            return Status.RUNNING
        self._report_death(cluster, record)
        return Status.STOPPED

    # The cluster ----------------------------------------------------------------------------

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        """Tell whether the server or a worker of a cluster of this name lives.

        Raises
        ------
        StaticDataError
            The state file of that name cannot be read.
        """
        stored = self._folder_named(cluster.config.job_queue_name).read()
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
        folder = self._folder_named(name)
        stored = folder.read()
        if stored is None:
            raise ClusterNotFoundError(f"The cluster {name!r} has ended: call start().")
        cluster.set_static_data(stored.static_data)
        self._take(folder, stored)

    def cleanup(self, cluster: DockerCluster, deep: bool = False) -> None:
        """End what workers have left running, and remove the cluster's folder.

        A cluster of the same name that another session has started is left alone.

        Parameters
        ----------
        deep
            Remove also what crashed clusters of other names have left.
        """
        folder = self._folder or self._folder_named(cluster.config.job_queue_name)
        with folder.locked():
            stored = folder.read()
            ours = stored is not None and stored.cluster_id == self._cluster_id
            if stored is None or ours or not leftovers.lives(stored):
                leftovers.remove(folder, stored, self._stop_timeout)
        self._folder, self._cluster_id = None, ""
        self._reported.clear()
        if deep:
            leftovers.remove_dead(self._all_folders(), self._stop_timeout)

    def _take(self, folder: ClusterFolder, stored: StoredCluster) -> None:
        self._folder, self._cluster_id = folder, stored.cluster_id
        self._server_answered = False
        self._reported.clear()

    def _stored(self) -> StoredCluster | None:
        """Return what is stored of our cluster; ``None`` where it is gone or another's."""
        stored = None if self._folder is None else self._folder.read()
        return stored if stored is not None and stored.cluster_id == self._cluster_id else None

    def _workers(self) -> dict[str, ProcessRecord]:
        stored = self._stored()
        return {} if stored is None else {record.handle: record for record in stored.workers}

    @contextmanager
    def _changing(self, cluster: DockerCluster) -> Iterator[tuple[ClusterFolder, StoredCluster]]:
        """Hold the lock, and store what the block has changed, also where it fails half-way."""
        folder = self._folder or self._folder_named(cluster.config.job_queue_name)
        with folder.locked():
            stored = self._stored() or self._begin(cluster, folder)
            try:
                yield folder, stored
            finally:
                folder.write(stored)

    def _begin(self, cluster: DockerCluster, folder: ClusterFolder) -> StoredCluster:
        """Make a new cluster in its folder, where a crash may have left another."""
        old = folder.read()
        if old is not None:
            if leftovers.lives(old):
                raise ClusterExistsError(
                    f"Another session has just started a cluster {folder.path.name!r}: choose "
                    "another job_queue_name, or call start(if_exists=...)."
                )
            cluster.logger.info("Removing what a crashed cluster of this name has left.")
            leftovers.remove(folder, old, self._stop_timeout)
        new = StoredCluster(static_data=cluster.static_data(), host=self._host)
        # Stored before anything is started, so that all that is started can be found.
        folder.write(new)
        self._take(folder, new)
        return new

    def _report_death(self, cluster: DockerCluster, record: ProcessRecord) -> None:
        key = f"{record.handle} (process {record.pid})"
        if self._folder is None or key in self._reported:
            return
        self._reported.add(key)
        end = tail(self._folder.log_file(record.handle))
        cluster.logger.warning("%s %s. %s", key, how_it_ended(record.identity), end)

    def _all_folders(self) -> list[ClusterFolder]:
        return folders_in(self._runtime_folder or default_runtime_folder(), self._lock_timeout)

    def _folder_named(self, name: str) -> ClusterFolder:
        root = self._runtime_folder or default_runtime_folder()
        return ClusterFolder(root, name, self._lock_timeout)

    # For the user ---------------------------------------------------------------------------

    @exported
    def log_files(self, cluster: DockerCluster) -> dict[str, Path]:
        """Return the log file of each process by its handle, also of those that have ended.

        The server's handle is ``server``. The files are there until the cluster stops.
        """
        folder = self._folder or self._folder_named(cluster.config.job_queue_name)
        return {file.stem: file for file in sorted(folder.logs.glob("*.log"))}

    @exported
    def logs(
        self, cluster: DockerCluster, name: str | None = None, lines: int | None = None
    ) -> str:
        """Return what a process has printed, or all of them under a heading each.

        Parameters
        ----------
        name
            A handle, one of those of ``log_files()``; all by default.
        lines
            How many of the last lines of each, at least 1; all by default.

        Raises
        ------
        InvalidValueError
            There is no log of that name; the message lists those there are.
        """
        if lines is not None:
            check_int("lines", lines, minimum=1)
        files = self.log_files(cluster)
        if name is None:
            return "\n".join(
                f"==> {handle} <==\n{read_log(file, lines)}" for handle, file in files.items()
            )
        if name not in files:
            raise InvalidValueError(
                f"There is no log {name!r}. There are: {', '.join(files) or 'none'}."
            )
        return read_log(files[name], lines)

    @exported
    def list_clusters(self) -> list[leftovers.LocalCluster]:
        """Return the clusters of this user on this machine, those of crashed sessions included."""
        return leftovers.list_clusters(self._all_folders())

    @exported
    def remove_cluster(self, name: str) -> None:
        """End all processes of a cluster and remove its files, whoever started it. Idempotent.

        For what a crashed session has left; also where its state cannot be read.

        Parameters
        ----------
        name
            Its ``job_queue_name``; :meth:`list_clusters` tells those there are.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            ``name`` is no ``job_queue_name``.
        ProviderError
            A process lives on after SIGKILL.
        """
        folder = self._folder_named(check_job_queue_name(name))
        with folder.locked():
            leftovers.remove(folder, folder.read_if_possible(), self._stop_timeout)
