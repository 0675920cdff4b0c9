"""Tell whether the process that made something still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process, told apart from a later one with the same number.

    Parameters
    ----------
    host : str
        The machine's name.
    namespace : str
        The namespace in which the number counts; containers have their own.
    pid : int
        The number of the process.
    started : int
        When it started, in clock ticks since the machine did.
    """

    host: str
    namespace: str
    pid: int
    started: int

    @classmethod
    def current(cls) -> Owner:
        """Return the process that calls this."""
        pid = os.getpid()
        started = start_of(pid)
        return cls(socket.gethostname(), _namespace(), pid, started or 0)

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Return the owner that a label names, None where it names none."""
        parts = text.split(" ")
        if len(parts) != 4 or not (parts[2].isdigit() and parts[3].isdigit()):  # noqa: PLR2004
            return None
        return cls(parts[0], parts[1], int(parts[2]), int(parts[3]))

    def __str__(self) -> str:
        return f"{self.host} {self.namespace} {self.pid} {self.started}"

    def surely_dead(self) -> bool:
        """Tell whether the process is gone; False where this process cannot know."""
        if (self.host, self.namespace) != (socket.gethostname(), _namespace()):
            return False
        return start_of(self.pid) != self.started


def start_of(pid: int) -> int | None:
    """Return when a process started, None where there is none (or only its zombie)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets can hold any character; the state follows it.
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else int(fields[19])


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())
