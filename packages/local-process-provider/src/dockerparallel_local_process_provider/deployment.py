"""Which cluster a provider runs, and what its folder says of it at this moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dockerparallel import ClusterExistsError
from dockerparallel_local_process_provider import leftovers
from dockerparallel_local_process_provider.logs import tail
from dockerparallel_local_process_provider.ports import PortClaim, claim_port
from dockerparallel_local_process_provider.processes import how_it_ended
from dockerparallel_local_process_provider.runtime_folder import default_runtime_folder
from dockerparallel_local_process_provider.store import (
    ClusterFolder,
    ProcessRecord,
    StoredCluster,
    folders_in,
)

if TYPE_CHECKING:
    from dockerparallel import DockerCluster


class Deployment:
    """The cluster of one provider: none at first, then the one that it started or took over.

    The folder is the truth, which other sessions change too. It is read each time, and a cluster
    that another session has put in the place of ours is never taken for ours.

    Parameters
    ----------
    host, stop_timeout, lock_timeout
        As for ``LocalProcessProvider``.
    runtime_folder
        Folder for the files of running clusters; ``None`` for the default.
    """

    def __init__(
        self, host: str, runtime_folder: Path | None, stop_timeout: float, lock_timeout: float
    ) -> None:
        self.host = host
        self.stop_timeout = stop_timeout
        self._runtime_folder = runtime_folder
        self._lock_timeout = lock_timeout
        self._folder: ClusterFolder | None = None
        self._cluster_id: str | None = None
        self._reported: set[str] = set()

    # Folders --------------------------------------------------------------------------------

    def folder(self, cluster: DockerCluster) -> ClusterFolder:
        """Return the folder of our cluster, or where it would be."""
        name = cluster.config.job_queue_name
        # The name of a cluster that runs is the one it was started with.
        if self._folder is None or (self._cluster_id is None and self._folder.path.name != name):
            self._folder = self.folder_named(name)
        return self._folder

    def folder_named(self, name: str) -> ClusterFolder:
        """Return the folder of the cluster of that name, which need not exist."""
        root = self._runtime_folder or default_runtime_folder()
        return ClusterFolder(root, name, self._lock_timeout)

    def all_folders(self) -> list[ClusterFolder]:
        """Return the folders of all clusters that have one."""
        return folders_in(self._runtime_folder or default_runtime_folder(), self._lock_timeout)

    # What is stored -------------------------------------------------------------------------

    def stored(self) -> StoredCluster | None:
        """Return what is stored of our cluster; ``None`` where it is gone, or another's."""
        stored = None if self._folder is None else self._folder.read()
        return stored if stored is not None and self.is_ours(stored) else None

    def workers(self) -> dict[str, ProcessRecord]:
        """Return the worker processes that are stored, by handle, the oldest first."""
        stored = self.stored()
        return {} if stored is None else {record.handle: record for record in stored.workers}

    def is_ours(self, stored: StoredCluster) -> bool:
        """Tell whether this is the very cluster that the provider runs."""
        return stored.cluster_id == self._cluster_id

    @contextmanager
    def changing(self, cluster: DockerCluster) -> Iterator[tuple[ClusterFolder, StoredCluster]]:
        """Hold the lock, and store what the block has changed, also where it fails half-way.

        Begins a new cluster where ours is not there.

        Raises
        ------
        ClusterExistsError
            Another session runs a cluster of this name.
        """
        folder = self.folder(cluster)
        with folder.locked():
            stored = self.stored() or self._begin(cluster, folder)
            try:
                yield folder, stored
            finally:
                folder.write(stored)

    @contextmanager
    def changing_if_there(self) -> Iterator[tuple[ClusterFolder, StoredCluster] | None]:
        """Do as :meth:`changing`, but give ``None`` where our cluster is not there."""
        if self._folder is None:
            yield None
            return
        with self._folder.locked():
            stored = self.stored()
            if stored is None:
                yield None
                return
            try:
                yield self._folder, stored
            finally:
                self._folder.write(stored)

    def reserve_port(self, folder: ClusterFolder, stored: StoredCluster, wanted: int) -> PortClaim:
        """Claim and store a free port, so that no other session chooses it; under the lock.

        Raises
        ------
        InvalidValueError, ProviderError
            The wanted port cannot be used, and no other is looked for; or none is free.
        """
        with folder.root_locked():
            others = [other for other in self.all_folders() if other.path != folder.path]
            stored.host = self.host
            claim = claim_port(self.host, wanted, leftovers.reserved_ports(others))
            stored.port = claim.port
            folder.write(stored)
        return claim

    def take(self, folder: ClusterFolder, stored: StoredCluster) -> None:
        """Make this cluster ours."""
        self._folder, self._cluster_id = folder, stored.cluster_id
        self._reported.clear()

    def forget(self) -> None:
        """Have no cluster any more."""
        self._folder, self._cluster_id = None, None

    def _begin(self, cluster: DockerCluster, folder: ClusterFolder) -> StoredCluster:
        old = folder.read()
        if old is not None and leftovers.lives(old):
            raise ClusterExistsError(
                f"Another session runs a cluster {folder.path.name!r} already: choose another "
                "job_queue_name, or call start(if_exists=...)."
            )
        if old is not None:
            cluster.logger.info("Removing what a crashed cluster of this name has left.")
            leftovers.remove(folder, old, self.stop_timeout)
        new = StoredCluster(static_data=cluster.static_data(), host=self.host)
        # Stored before anything is started, so that all that is started can be found.
        folder.write(new)
        self.take(folder, new)
        return new

    # Messages -------------------------------------------------------------------------------

    def report_death(self, cluster: DockerCluster, record: ProcessRecord) -> None:
        """Warn, once, that a process has ended by itself: how, and the end of its log."""
        if record.handle not in self._reported:
            self._reported.add(record.handle)
            cluster.logger.warning("%s", self.death_of(cluster, record))

    def death_of(self, cluster: DockerCluster, record: ProcessRecord) -> str:
        """Return how a process has ended by itself, and the end of its log."""
        log = self.folder(cluster).log_file(record.handle)
        how = how_it_ended(record.identity)
        return f"{record.handle} (process {record.pid}) {how}. {tail(log)}"
