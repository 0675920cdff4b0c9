"""Whether the kernel has killed a process because the container went over its memory limit.

The kernel counts such kills for each control group, of version 1 or 2. In a container the folder
below is that of the container; where there is none, nothing is known and nothing changes.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_PROCESS = Path("/proc/self")
# Of -1000 to 1000: well above the supervisor's, which has what the container was started with.
_WORKER_SCORE = 500
_SET_DUMPABLE = 4
# Version 1 tells "no limit" by the largest number of whole pages.
_NO_LIMIT = 2**60


class MemoryWatch:
    """Notices kills for want of memory; used by the supervisor when a worker has died.

    Parameters
    ----------
    folder
        Where the control groups are mounted.
    """

    def __init__(self, folder: Path = _CGROUP) -> None:
        one = folder / "memory"
        self._files = [
            (folder / "memory.events", folder / "memory.max"),
            (one / "memory.oom_control", one / "memory.limit_in_bytes"),
        ]
        self._kills, self.limit = self._state()

    def exceeded_limit(self) -> int | None:
        """Return the limit, in bytes, if the kernel has killed for it since the last call.

        ``None`` where it has not, where there is no limit, or where nothing is known.
        """
        kills, limit = self._state()
        before, self._kills = self._kills, kills
        return limit if kills > before else None

    def _state(self) -> tuple[int, int | None]:
        """Return the number of kills so far, and the limit."""
        for events, limit in self._files:
            try:
                found = re.search(r"(?m)^oom_kill (\d+)$", events.read_text())
                text = limit.read_text().strip()
            except OSError:
                continue
            if found is not None:
                size = int(text) if text.isdecimal() else _NO_LIMIT
                return int(found[1]), size if size < _NO_LIMIT else None
        return 0, None


def memory_limit() -> int | None:
    """Return the limit of the container's memory, in bytes; ``None`` where none is known."""
    return MemoryWatch().limit


def be_killed_first(process: Path = _PROCESS) -> None:
    """Let the kernel choose this process, and not the supervisor, when memory runs out.

    Called by each worker when it starts. The processes that its tasks start inherit it.

    Parameters
    ----------
    process
        The folder of this process.
    """
    file = process / "oom_score_adj"
    try:
        if int(file.read_text()) >= _WORKER_SCORE:
            return
        try:
            file.write_text(str(_WORKER_SCORE))
        except PermissionError:
            # Whoever gave up root does not own the files of its process until this is set, and
            # tasks may need the other ones too.
            ctypes.CDLL(None).prctl(_SET_DUMPABLE, 1, 0, 0, 0)
            file.write_text(str(_WORKER_SCORE))
    except (OSError, ValueError, AttributeError):
        # No Linux, or one that forbids it. The kernel then chooses by size, most likely a worker.
        return


def over_the_limit(limit: int) -> str:
    """Say that a process was killed for the limit, as the end of a sentence."""
    return f"because the container went over its memory limit of {limit / 2**20:g} MiB"
