"""Folders that only this user can read, and locks on them.

A folder is locked by ``flock`` on the folder itself, so that no lock file is left behind. The
system takes the lock back when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dockerparallel import ProviderError, WaitTimeoutError

_PAUSE = 0.02


def default_runtime_folder() -> Path:
    """Return where files of running clusters live.

    ``$XDG_RUNTIME_DIR/dockerparallel`` (XDG Base Directory Specification: a folder for this user
    alone, until the last log-out), or where the variable is not set,
    ``dockerparallel-<user id>`` in the folder for temporary files.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "dockerparallel"
    return Path(tempfile.gettempdir()) / f"dockerparallel-{os.geteuid()}"


def make_private(root: Path, folder: Path) -> None:
    """Make the folders from ``root`` down to ``folder`` with mode 0700, unless they are there.

    Raises
    ------
    ProviderError
        One cannot be made, is a link, belongs to somebody else, or others have access to it.
    FileNotFoundError
        Another session removed one meanwhile, because it was empty: try again.
    """
    below = folder.relative_to(root).parts
    for depth in range(len(below) + 1):
        path = root.joinpath(*below[:depth])
        try:
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
            status = path.lstat()
        except OSError as error:
            if isinstance(error, FileNotFoundError) and root.parent.is_dir():
                raise
            raise ProviderError(
                f"The folder {path} cannot be made ({error}): set XDG_RUNTIME_DIR to a folder of "
                "yours, or pass runtime_folder= to LocalProcessProvider."
            ) from error
        problem = _what_is_wrong(status)
        if problem:
            raise ProviderError(
                f"The folder {path} cannot hold passwords, because {problem}: remove it or make "
                "it yours alone (chmod 700), or pass runtime_folder= to LocalProcessProvider."
            )


def _what_is_wrong(status: os.stat_result) -> str:
    """Say why a folder is not private; empty where it is."""
    if not stat.S_ISDIR(status.st_mode):
        return "it is a link or a file"
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}"
    if stat.S_IMODE(status.st_mode) & 0o077:
        return f"others have access to it (mode {stat.S_IMODE(status.st_mode):o})"
    return ""


def remove_if_empty(root: Path, folder: Path) -> None:
    """Remove ``folder`` and those above it up to ``root``, as far as they are empty."""
    for path in (folder, *folder.parents):
        try:
            path.rmdir()
        except OSError:
            # Something is in it, or another session was faster: both are as good.
            return
        if path == root:
            return


@contextmanager
def locked(root: Path, folder: Path, timeout: float) -> Iterator[None]:
    """Hold the lock of a folder, which is made before and, where it is empty, removed after.

    Not re-entrant. Waits for other holders, up to ``timeout`` seconds.

    Raises
    ------
    WaitTimeoutError
        Another session held the lock all the time.
    """
    deadline = time.monotonic() + timeout
    while (descriptor := _try_lock(root, folder)) is None:
        if time.monotonic() >= deadline:
            raise WaitTimeoutError(
                f"Another session has been changing the cluster in {folder} for {timeout:g} s: "
                "try again, or pass a larger lock_timeout= to LocalProcessProvider."
            )
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        remove_if_empty(root, folder)
        # Said aloud: a child that was forked meanwhile keeps the descriptor open.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _try_lock(root: Path, folder: Path) -> int | None:
    """Return a descriptor that holds the lock, or ``None`` to try again."""
    try:
        make_private(root, folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        # Its last holder has just removed it.
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(FileNotFoundError):
            # The lock of a folder that was removed meanwhile, and perhaps made anew, is worthless.
            if os.path.samestat(os.fstat(descriptor), folder.lstat()):
                return descriptor
    except BlockingIOError:
        # Somebody else holds it.
        pass
    os.close(descriptor)
    return None
