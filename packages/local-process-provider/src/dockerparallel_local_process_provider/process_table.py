"""Which processes there are, and what tells one from a later one with the same number.

A process id is used again after its process is gone. The id together with the time of the start,
and with the boot where that time counts from it, is used only once.

On Linux this reads ``/proc`` (proc(5): ``/proc/pid/stat``, ``/proc/pid/environ``), elsewhere it
asks ``ps``, which POSIX has.
"""

from __future__ import annotations

import functools
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_PREFIX = b"DOCKERPARALLEL_"
_PS_TIMEOUT = 10.0


class Identity(NamedTuple):
    """A process, told from every other that has or will have its number."""

    pid: int
    started: str


class Sighting(NamedTuple):
    """A process as the table shows it."""

    identity: Identity
    group: int
    session: int
    zombie: bool


def sight(pid: int) -> Sighting | None:
    """Return the process of that number, or ``None`` where there is none."""
    if has_proc():
        return _from_proc(pid)
    return next(iter(_from_ps("-p", str(pid))), None)


def sight_all() -> list[Sighting]:
    """Return all processes of the machine that this user may see."""
    if not has_proc():
        return _from_ps("-A")
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]
    return [sighting for pid in pids if (sighting := _from_proc(pid)) is not None]


def signs_of(pid: int) -> set[bytes]:
    """Return what shows to whom a process belongs; empty where this cannot be seen.

    These are the variables named ``DOCKERPARALLEL_...`` that it was started with, as
    ``NAME=value``, and the files that its standard output and error go to, with their folders.
    The files matter for programs that overwrite their environment to change their title, such
    as Redis.
    """
    signs: set[bytes] = set()
    folder = _PROC / str(pid)
    try:
        entries = (folder / "environ").read_bytes().split(b"\0")
        signs.update(entry for entry in entries if entry.startswith(_PREFIX))
        for descriptor in ("1", "2"):
            target = (folder / "fd" / descriptor).readlink()
            signs.update((os.fsencode(target), os.fsencode(target.parent)))
    except OSError:
        # It has ended, has closed the descriptor, belongs to another user, or there is no /proc.
        pass
    return signs


def open_files(pid: int) -> set[str]:
    """Return the targets of a process's descriptors, as ``/proc/pid/fd`` names them."""
    targets = set()
    # It may end, or close one, while it is looked at.
    with suppress(OSError):
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                targets.add(str(descriptor.readlink()))
    return targets


@functools.cache
def has_proc() -> bool:
    """Tell whether this system has Linux's ``/proc``."""
    return (_PROC / "self" / "stat").exists()


@functools.cache
def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _from_proc(pid: int) -> Sighting | None:
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        # It has ended, or belongs to a user whose processes this system hides.
        return None
    # The second field is the program's name in brackets, which may itself hold any character.
    fields = text[text.rindex(b")") + 1 :].split()
    state, group, session, ticks = fields[0], int(fields[2]), int(fields[3]), int(fields[19])
    return Sighting(Identity(pid, f"{_boot()}/{ticks}"), group, session, state in b"ZX")


def _from_ps(*selection: str) -> list[Sighting]:
    """Ask ``ps``, whose session ids differ by system, so that the group stands for the session."""
    columns = ["-o", "pid=", "-o", "pgid=", "-o", "stat=", "-o", "lstart="]
    answer = subprocess.run(
        ["ps", *selection, *columns],
        capture_output=True,
        check=False,  # It says 1 where no process fits.
        text=True,
        timeout=_PS_TIMEOUT,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
    )
    sightings = []
    for line in answer.stdout.splitlines():
        pid, group, state, started = line.split(maxsplit=3)
        identity = Identity(int(pid), started.strip())
        sightings.append(Sighting(identity, int(group), int(group), state.startswith("Z")))
    return sightings
