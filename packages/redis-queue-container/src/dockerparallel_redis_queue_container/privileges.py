"""Gives up the rights of root once nothing more has to be installed."""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Collection, MutableMapping
from dataclasses import dataclass

from dockerparallel_redis_queue_container import secret_files
from dockerparallel_redis_queue_container.errors import SettingsError

RUN_AS = "DOCKERPARALLEL_RUN_AS"
"""Environment variable with the user to run as: a name, ``uid`` or ``uid:gid``.

An image sets it, so that the container can install packages as root and run tasks as another.
"""

_logger = logging.getLogger("dockerparallel.redis_queue.privileges")


@dataclass(frozen=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


def drop(
    environ: MutableMapping[str, str] | None = None,
    *,
    hidden_secrets: Collection[str] | None = None,
) -> None:
    """Become the user that `RUN_AS` names, for good.

    Called by the supervisor after the installation and after it has read its secrets, and before
    workers start; and by the server program before it becomes the server. User, group and
    supplementary groups change, and ``HOME``, ``USER`` and ``LOGNAME`` with them; where the new
    user may not enter the working directory, it becomes the new home or ``/``. Nothing happens
    where the variable is not set, or where the process does not run as root: it has no rights to
    give up then. For a process with one thread.

    Parameters
    ----------
    environ
        Where the variable is looked up and the new ones are set; ``os.environ`` by default.
    hidden_secrets
        The secrets that the new user is not to read, of those that the provider has put into
        files; it may read all others then. ``None`` leaves all as they are.

    Raises
    ------
    SettingsError
        The variable names no user of this machine, or it names root.
    PermissionError
        The system does not let this process change its user.
    """
    variables = os.environ if environ is None else environ
    wanted = variables.get(RUN_AS, "")
    if not wanted or os.geteuid() != 0:
        return
    account = _find_account(wanted)
    if account.uid == 0 or account.gid == 0:
        raise SettingsError(f"{RUN_AS}={wanted!r} is root: name an unprivileged user.")
    if hidden_secrets is not None:
        secret_files.hand_over(account.uid, account.gid, hidden_secrets, variables)
    if account.name:
        os.initgroups(account.name, account.gid)
    else:
        os.setgroups([])
    # For root both set the real, the effective and the saved id: there is no way back.
    os.setgid(account.gid)
    os.setuid(account.uid)
    variables["HOME"] = account.home
    variables["USER"] = variables["LOGNAME"] = account.name or str(account.uid)
    if not os.access(".", os.X_OK):
        os.chdir(account.home if os.access(account.home, os.X_OK) else "/")
    _logger.info("Going on as %s (%d:%d).", variables["USER"], account.uid, account.gid)


def _find_account(wanted: str) -> _Account:
    user, _, group = wanted.partition(":")
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        if user.isdecimal():
            gid = int(group) if group.isdecimal() else int(user)
            return _Account("", int(user), gid, "/")
        raise SettingsError(
            f"{RUN_AS}={wanted!r} names no user of this container: create the user in the image, "
            'or give numbers, such as "1000:1000".'
        ) from None
    if group and not group.isdecimal():
        raise SettingsError(f"{RUN_AS}={wanted!r}: the group must be a number.")
    return _Account(entry.pw_name, entry.pw_uid, int(group or entry.pw_gid), entry.pw_dir)
