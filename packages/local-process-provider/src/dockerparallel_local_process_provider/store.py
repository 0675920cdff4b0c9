"""What is known of a cluster, in a file that other sessions read.

The folder of a cluster, ``<runtime folder>/local-process/<job_queue_name>``, holds

======================  ==========================================================
``state.json``          processes, port and static data (mode 0600)
``logs/<handle>.log``   what a process has printed (mode 0600)
``secrets/<handle>/``   the secrets of a process, one file each (mode 0600)
``work/``               the working directory of all processes
``packages/``           what containers install for this cluster alone
======================  ==========================================================

All folders have mode 0700.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dockerparallel import StaticDataError
from dockerparallel.validation import check_file_name
from dockerparallel_local_process_provider.process_table import Identity
from dockerparallel_local_process_provider.runtime_folder import locked

FORMAT = 1
"""Number of the format of ``state.json`` that this version writes and reads."""


@dataclasses.dataclass
class ProcessRecord:
    """One process that was started, the leader of its session."""

    handle: str
    pid: int
    started: str
    workers: int

    @property
    def identity(self) -> Identity:
        """What tells the process from later ones with its number."""
        return Identity(self.pid, self.started)


@dataclasses.dataclass
class StoredCluster:
    """What ``state.json`` says; ``port`` and ``server`` are ``None`` until there is one."""

    static_data: dict[str, Any]
    host: str
    port: int | None = None
    server: ProcessRecord | None = None
    workers: list[ProcessRecord] = dataclasses.field(default_factory=list)
    next_number: int = 1
    # Tells the cluster from an earlier or later one of the same name.
    cluster_id: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def processes(self) -> list[ProcessRecord]:
        """The server, where there is one, and the workers."""
        return [*([self.server] if self.server else []), *self.workers]


class ClusterFolder:
    """The folder of one cluster. Not thread-safe; sessions are kept apart by the lock.

    Parameters
    ----------
    runtime_folder
        The folder of all files of running clusters; made when first locked.
    name
        ``job_queue_name`` of the cluster.
    lock_timeout
        Seconds to wait for another session.
    """

    def __init__(self, runtime_folder: Path, name: str, lock_timeout: float) -> None:
        self.runtime_folder = runtime_folder
        self.root = runtime_folder / "local-process"
        self.path = self.root / name
        self.logs = self.path / "logs"
        self.work = self.path / "work"
        self.packages = self.path / "packages"
        self._lock_timeout = lock_timeout
        self._depth = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other sessions from changing the cluster; re-entrant."""
        if self._depth:
            yield
            return
        with locked(self.runtime_folder, self.path, self._lock_timeout):
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    @contextmanager
    def root_locked(self) -> Iterator[None]:
        """Keep the sessions of all clusters from choosing a port."""
        with locked(self.runtime_folder, self.root, self._lock_timeout):
            yield

    def read(self) -> StoredCluster | None:
        """Return what is stored, or ``None`` where no cluster is; needs no lock.

        Raises
        ------
        StaticDataError
            The file cannot be read or understood.
        """
        file = self.path / "state.json"
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._unusable(f"cannot be read ({error})") from error
        try:
            data = json.loads(text)
            number = data.pop("format")
            if number != FORMAT:
                raise self._unusable(f"has format {number!r}, not {FORMAT}")
            server, workers = data.pop("server"), data.pop("workers")
            stored = StoredCluster(**data)
            stored.server = None if server is None else ProcessRecord(**server)
            stored.workers = [ProcessRecord(**worker) for worker in workers]
        except StaticDataError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._unusable(f"is damaged ({type(error).__name__}: {error})") from error
        return stored

    def read_if_possible(self) -> StoredCluster | None:
        """Return what is stored, or ``None`` where there is nothing that can be read."""
        try:
            return self.read()
        except StaticDataError:
            # For those who remove the cluster whatever its state says.
            return None

    def _unusable(self, reason: str) -> StaticDataError:
        return StaticDataError(
            f"The state of the cluster {self.path.name!r}, {self.path / 'state.json'}, {reason}: "
            "use the version of dockerparallel-local-process-provider that started the cluster, "
            f"or end what is left of it by LocalProcessProvider().remove_cluster("
            f"{self.path.name!r})."
        )

    def write(self, stored: StoredCluster) -> None:
        """Store, whole or not at all; called under the lock."""
        for folder in (self.logs, self.work, self.packages):
            folder.mkdir(mode=0o700, exist_ok=True)
        data = {"format": FORMAT, **dataclasses.asdict(stored)}
        draft = self.path / "state.json.new"
        _write_private(draft, json.dumps(data, indent=1))
        draft.replace(self.path / "state.json")

    def log_file(self, handle: str) -> Path:
        """Return where the output of a process goes."""
        return self.logs / f"{handle}.log"

    def write_secrets(self, handle: str, secrets: Mapping[str, str]) -> Path:
        """Write the secrets of a process and return their folder.

        Raises
        ------
        InvalidValueError
            A name cannot be that of a file; nothing was written.
        """
        for name in secrets:
            check_file_name("secrets", name)
        self.remove_secrets(handle)
        folder = self.path / "secrets" / handle
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700)
        for name, secret in secrets.items():
            _write_private(folder / name, secret)
        return folder

    def remove_secrets(self, handle: str) -> None:
        """Remove the secrets of a process that has ended; idempotent."""
        folder = self.path / "secrets" / handle
        if folder.exists():
            shutil.rmtree(folder)

    def clear(self) -> None:
        """Remove all that is in the folder; the folder goes with the lock. Idempotent."""
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def folders_in(runtime_folder: Path, lock_timeout: float) -> list[ClusterFolder]:
    """Return the folders of all clusters, by name."""
    try:
        names = sorted(entry.name for entry in (runtime_folder / "local-process").iterdir())
    except FileNotFoundError:
        return []
    return [ClusterFolder(runtime_folder, name, lock_timeout) for name in names]


def _write_private(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)
