"""Finding and removing clusters, also those whose session is gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from dockerparallel import ProviderError, StaticDataError
from dockerparallel_local_process_provider.launch import PACKAGES_VARIABLE, target_of
from dockerparallel_local_process_provider.processes import Target, end, is_alive
from dockerparallel_local_process_provider.store import (
    ClusterFolder,
    StoredCluster,
)


class LocalCluster(NamedTuple):
    """A cluster on this machine, as its folder shows it.

    Parameters
    ----------
    name
        Its ``job_queue_name``.
    server_pid
        Process id of its server, ``None`` where none runs.
    worker_number
        How many of its workers run.
    folder
        Its folder, with the logs.
    readable
        Whether its state can be read; if not, the two before say nothing.
    """

    name: str
    server_pid: int | None
    worker_number: int
    folder: Path
    readable: bool


def lives(stored: StoredCluster) -> bool:
    """Tell whether the server or any worker of a stored cluster lives."""
    return any(is_alive(record.identity) for record in stored.processes)


def list_clusters(folders: list[ClusterFolder]) -> list[LocalCluster]:
    """Return the clusters in these folders, those included of which nothing lives."""
    clusters = []
    for folder in folders:
        try:
            stored = folder.read()
        except StaticDataError:
            # Listed all the same: the reader wants to know that it is there, and remove it.
            clusters.append(LocalCluster(folder.path.name, None, 0, folder.path, readable=False))
            continue
        if stored is None:
            # Being made or removed just now.
            continue
        server = stored.server
        clusters.append(
            LocalCluster(
                name=folder.path.name,
                server_pid=server.pid if server and is_alive(server.identity) else None,
                worker_number=sum(w.workers for w in stored.workers if is_alive(w.identity)),
                folder=folder.path,
                readable=True,
            )
        )
    return clusters


def reserved_ports(folders: list[ClusterFolder]) -> set[int]:
    """Return the ports that the clusters in these folders have chosen, listening yet or not."""
    ports = set()
    for folder in folders:
        # What cannot be read is another cluster's trouble: the port it listens on is found taken.
        stored = folder.read_if_possible()
        if stored is not None and stored.port is not None:
            ports.add(stored.port)
    return ports


def remove(folder: ClusterFolder, stored: StoredCluster | None, timeout: float) -> None:
    """End all that lives of a cluster and remove its files; called under its lock.

    Idempotent. What the state does not know (all, where ``stored`` is ``None``) is found by the
    folder that each process names in its environment and prints to.

    Raises
    ------
    ProviderError
        Something lives on; the files stay.
    """
    signs = {
        os.fsencode(folder.logs),
        os.fsencode(f"{PACKAGES_VARIABLE}={folder.packages}"),
    }
    targets = []
    if stored is not None:
        targets = [target_of(folder, stored, record) for record in stored.processes]
    if not all(end([*targets, Target(None, frozenset(signs))], timeout)):
        raise ProviderError(
            f"Processes of the cluster {folder.path.name!r} live on {timeout:g} s after SIGKILL, "
            "and its files stay: look at them by ps, and try again."
        )
    folder.clear()


def remove_dead(folders: list[ClusterFolder], timeout: float) -> None:
    """Remove what crashed clusters have left in these folders.

    Clusters that live, and those whose state cannot be read, are left alone.
    """
    for folder in folders:
        with folder.locked():
            stored = folder.read_if_possible()
            if stored is not None and not lives(stored):
                remove(folder, stored, timeout)
