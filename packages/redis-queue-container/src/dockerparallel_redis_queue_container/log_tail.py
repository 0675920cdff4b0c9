"""The end of what a worker has written, for the error that tells of its death.

A worker writes its log itself, to the output that it shares with its supervisor: nothing stands
in between that could hold it up, or fail. It keeps a copy of the last part in memory that both
share and that outlives it. What writes past Python's streams is only in the log: programs that a
task starts, and native code. Where native code crashes, Python's report of it is kept too.
"""

from __future__ import annotations

import faulthandler
import io
import mmap
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

    from _typeshed import ReadableBuffer

_KEPT_BYTES = 4096
_LENGTH = struct.Struct("=Q")


class LogTail:
    """The end of one worker's log; made by the supervisor before the fork.

    There is no lock, which a fork or the exception of a signal could leave locked: where two
    threads write in the same moment, one of the lines may be missing here. The log has both.

    Parameters
    ----------
    folder
        Where a file without a name can be made, for the report of a crash.
    """

    def __init__(self, folder: Path) -> None:
        self._memory = mmap.mmap(-1, _LENGTH.size + _KEPT_BYTES)
        self._crash: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - see `close`

    def keep_output(self) -> None:
        """Keep what is written from now on to standard output and error; called by the worker."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if isinstance(stream, io.TextIOWrapper):
                stream.flush()
                raw = _KeepingFile(stream.fileno(), f"<{name}>", self)
                kept = io.TextIOWrapper(
                    # Python itself uses no buffer where it is told so (PYTHONUNBUFFERED).
                    raw if stream.write_through else io.BufferedWriter(raw),
                    encoding=stream.encoding,
                    errors=stream.errors,
                    line_buffering=stream.line_buffering,
                    write_through=stream.write_through,
                )
                # As Python's own streams have it.
                kept.mode = "w"  # type: ignore[misc]  # of its type, but not here
                setattr(sys, name, kept)
                setattr(sys, f"__{name}__", kept)
        faulthandler.enable(self._crash, all_threads=False)

    def add(self, data: memoryview) -> None:
        """Keep the end of this; called by the worker, whatever its threads and forks do."""
        length = _LENGTH.unpack_from(self._memory)[0]
        end = length + len(data)
        data = data[-_KEPT_BYTES:]
        start = (end - len(data)) % _KEPT_BYTES
        first = min(len(data), _KEPT_BYTES - start)
        base = _LENGTH.size
        self._memory[base + start : base + start + first] = data[:first]
        self._memory[base : base + len(data) - first] = data[first:]
        _LENGTH.pack_into(self._memory, 0, end)

    def crash_report(self) -> bytes:
        """Return what Python has written of a crash; called by the supervisor after the death."""
        return os.pread(self._crash.fileno(), _KEPT_BYTES, 0)

    def text(self) -> str:
        """Return whole lines, and then the report of a crash; called by the supervisor."""
        length = _LENGTH.unpack_from(self._memory)[0]
        kept = self._memory[_LENGTH.size : _LENGTH.size + min(length, _KEPT_BYTES)]
        if length > _KEPT_BYTES:
            start = length % _KEPT_BYTES
            kept = kept[start:] + kept[:start]
            # The first line has lost its beginning.
            kept = kept.partition(b"\n")[2] or kept
        lines = kept + self.crash_report()
        return lines.decode("utf-8", "replace").strip("\n")

    def close(self) -> None:
        """Let go of the memory and the file in this process."""
        self._memory.close()
        self._crash.close()


class _KeepingFile(io.FileIO):
    """A file that is written to as ever, and whose end is kept besides."""

    def __init__(self, descriptor: int, name: str, tail: LogTail) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.name = name
        self._tail = tail

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        # None where a task has made the descriptor not blocking, and it is full.
        written = super().write(view)
        self._tail.add(view[: written or 0])
        return written
