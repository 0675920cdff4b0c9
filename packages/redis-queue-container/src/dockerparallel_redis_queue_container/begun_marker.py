"""Tells a supervisor which task its worker ran when it died, whatever killed it."""

from __future__ import annotations

import mmap

NOTHING = "-"
"""What stands for no task."""

_MOST_BYTES = 255


class BegunMarker:
    """One line of memory that a worker shares with its supervisor; made before the fork.

    The supervisor cannot ask a dead worker, and asking the server at each task would cost a round
    trip: a write to memory costs nothing, and outlives the process.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1 + _MOST_BYTES)

    def begin(self, task_id: str) -> None:
        """Note that a task begins; called by the worker."""
        name = task_id.encode()
        self._memory[: len(name) + 1] = b"%c%b" % (len(name), name)

    def end(self) -> None:
        """Note that no task runs; called by the worker."""
        self._memory[0] = 0

    def running(self) -> str:
        """Return the id of the task that runs, or "-"; called by the supervisor."""
        length = self._memory[0]
        return self._memory[1 : 1 + length].decode() if length else NOTHING

    def close(self) -> None:
        """Let go of the memory in this process."""
        self._memory.close()
