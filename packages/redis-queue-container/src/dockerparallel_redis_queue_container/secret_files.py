"""Lets the user that tasks run as read the secrets that the provider gave to root."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from dockerparallel.environment import DEFAULT_SECRETS_DIR, SECRETS_DIR_VARIABLE

_READABLE_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH
_log = logging.getLogger("dockerparallel.redis_queue.secret_files")


def hand_over(uid: int, gid: int, hidden: Collection[str], environ: Mapping[str, str]) -> None:
    """Give root's secret files to a user; called by `privileges.drop`, as root.

    A folder that only root may enter can then be entered and listed by the user's group, and stays
    root's, so that no task can put other secrets there: they are read again when the container
    starts anew. Files that only root may read become the user's. What others may read already
    stays as it is, and so does a folder that cannot be changed, for example a mount for reading
    only: the user then reads what the provider has made readable.

    Parameters
    ----------
    uid, gid
        The user and its group.
    hidden
        Names of the secrets that only root is to read.
    environ
        Tells the folder; see :func:`dockerparallel.environment.read_secret`.
    """
    folder = Path(environ.get(SECRETS_DIR_VARIABLE, DEFAULT_SECRETS_DIR))
    try:
        status = folder.stat()
        files = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        for file in files:
            if file.name not in hidden:
                _give(file, uid, gid)
        if status.st_uid == 0 and not status.st_mode & stat.S_IXOTH:
            os.chown(folder, 0, gid)
            folder.chmod(0o750)
    except OSError as error:
        _log.info("The secrets in %s stay as the provider made them: %s", folder, error)


def _give(file: Path, uid: int, gid: int) -> None:
    """Give a regular file to the user; a link could lead to what is no secret."""
    status = file.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_uid != 0:
        return
    if not status.st_mode & _READABLE_BY_OTHERS:
        os.chown(file, uid, gid, follow_symlinks=False)
