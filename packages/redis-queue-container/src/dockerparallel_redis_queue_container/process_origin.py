"""Tell whether the process that a session was of has ended without taking leave.

So a kernel of a notebook does that is restarted, or a program that is killed. Only a process of the
same machine can be looked for; of others, and where this system does not tell enough, nothing is
known, and a process that cannot be told from a later one counts as alive.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


def this_process() -> str:
    """Return what tells this process from all others, as JSON; empty where it cannot be told.

    That is so where there is no ``/proc`` as Linux has it (proc(5)).
    """
    pid = os.getpid()
    try:
        return json.dumps({"machine": _machine(), "pid": pid, "started": _start_of(pid)})
    except OSError:
        return ""


def has_ended(origin: str) -> bool:
    """Tell whether the process of which :func:`this_process` gave this has surely ended."""
    about: dict[str, Any] = json.loads(origin)
    try:
        here = about.get("machine") == _machine()
        return here and _start_of(about["pid"]) != about["started"]
    except OSError:
        # Then only the time tells that a session has ended.
        return False


def _machine() -> str:
    """Return a name of this start of the machine, and of the part of it that counts its processes.

    A container counts its own, so the same number is another process there.
    """
    boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"


def _start_of(pid: int) -> str | None:
    """Return when a process started, in ticks since the machine did; ``None`` where it has ended.

    A zombie has: what is left of it waits for its parent to look.
    """
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets, which may itself hold any character.
    fields = text[text.rindex(b")") + 1 :].split()
    return None if fields[0] in b"ZX" else fields[19].decode()
