"""What the user sees at ``cluster.cloud_provider``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dockerparallel import InvalidValueError, exported
from dockerparallel.validation import check_int, check_job_queue_name
from dockerparallel_local_process_provider import leftovers
from dockerparallel_local_process_provider.deployment import Deployment
from dockerparallel_local_process_provider.leftovers import LocalCluster
from dockerparallel_local_process_provider.logs import read_log

if TYPE_CHECKING:
    from dockerparallel import DockerCluster


class LogsAndLeftovers:
    """The exported part of the provider; may be called from any thread."""

    _deployment: Deployment

    @exported
    def log_files(self, cluster: DockerCluster) -> dict[str, Path]:
        """Return the log file of each process by its handle, also of those that have ended.

        The server's handle is ``server``. The files are there until the cluster stops.
        """
        logs = self._deployment.folder(cluster).logs
        return {file.stem: file for file in sorted(logs.glob("*.log"))}

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
    def list_clusters(self) -> list[LocalCluster]:
        """Return the clusters of this user on this machine, those of crashed sessions included."""
        return leftovers.list_clusters(self._deployment.all_folders())

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
        folder = self._deployment.folder_named(check_job_queue_name(name))
        with folder.locked():
            leftovers.remove(folder, folder.read_if_possible(), self._deployment.stop_timeout)
