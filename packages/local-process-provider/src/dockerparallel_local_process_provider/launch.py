"""Running one container as a process, and ending it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dockerparallel import InvalidValueError
from dockerparallel.environment import BIND_ADDRESS_VARIABLE, SECRETS_DIR_VARIABLE
from dockerparallel_local_process_provider.processes import Target, end, spawn
from dockerparallel_local_process_provider.store import (
    ClusterFolder,
    ProcessRecord,
    StoredCluster,
)

if TYPE_CHECKING:
    from dockerparallel import DockerContainer

CLUSTER_VARIABLE = "DOCKERPARALLEL_CLUSTER_ID"
"""Variable of every process of a cluster, with the id of this very cluster."""

PROCESS_VARIABLE = "DOCKERPARALLEL_PROCESS"
"""Variable of a process and all that comes out of it, ``<cluster id>/<handle>``."""

PACKAGES_VARIABLE = "DOCKERPARALLEL_PACKAGES_DIR"
"""Variable with the folder where containers install what only this cluster shall have."""

_OWN_PREFIX = "DOCKERPARALLEL_"


def check_command(container: DockerContainer) -> None:
    """Refuse a container that this provider cannot run.

    Raises
    ------
    InvalidValueError
        It has no command.
    """
    if not container.command:
        raise InvalidValueError(
            f"{container!r} has the command {container.command!r}, and local-process runs nothing "
            "else: set command to the program and its arguments, or choose a provider that runs "
            "images."
        )


def launch(
    container: DockerContainer,
    handle: str,
    workers: int,
    folder: ClusterFolder,
    stored: StoredCluster,
) -> ProcessRecord:
    """Start a configured container as a process group of its own, and return its record.

    It gets this session's environment, without what another cluster has put there, and the
    container's on top. Secrets go into files. ``python`` as a command is the Python that runs
    this session. The working directory is a folder of the cluster, which is removed with it.

    Raises
    ------
    InvalidValueError
        There is no command, or a secret has a name that no file can have.
    ProviderError
        The program cannot be started.
    """
    check_command(container)
    command = list(container.command or [])
    if command[0] in {"python", "python3"}:
        command[0] = sys.executable
    environment = {
        name: text
        for name, text in os.environ.items()
        # A variable of a secret's name would hide the secret from the program.
        if not name.startswith(_OWN_PREFIX) and name not in container.secrets
    }
    environment |= container.environment
    environment |= {
        BIND_ADDRESS_VARIABLE: stored.host,
        SECRETS_DIR_VARIABLE: str(folder.write_secrets(handle, container.secrets)),
        PACKAGES_VARIABLE: str(folder.packages),
        CLUSTER_VARIABLE: stored.cluster_id,
        PROCESS_VARIABLE: f"{stored.cluster_id}/{handle}",
    }
    log = folder.log_file(handle)
    try:
        identity = spawn(command, environment=environment, folder=folder.work, log=log)
    except BaseException:
        folder.remove_secrets(handle)
        raise
    return ProcessRecord(handle, identity.pid, identity.started, workers)


def target_of(folder: ClusterFolder, stored: StoredCluster, record: ProcessRecord) -> Target:
    """Return what to end so that nothing of one process is left."""
    sign = f"{PROCESS_VARIABLE}={stored.cluster_id}/{record.handle}"
    log = folder.log_file(record.handle)
    return Target(record.identity, frozenset({os.fsencode(sign), os.fsencode(log)}))


def end_processes(
    folder: ClusterFolder,
    stored: StoredCluster,
    records: Iterable[ProcessRecord],
    timeout: float,
) -> list[ProcessRecord]:
    """End processes with all that came out of them, and return those of which something lives on.

    The secrets of those that are gone are removed; the logs stay.
    """
    wanted = list(records)
    gone = end([target_of(folder, stored, record) for record in wanted], timeout)
    for record, ended in zip(wanted, gone, strict=True):
        if ended:
            folder.remove_secrets(record.handle)
    return [record for record, ended in zip(wanted, gone, strict=True) if not ended]
