"""Large outcomes: their parts, cut out of the pickle, and what stands for them in a record.

A result of 256 KiB and more does not pass through the scripts of the queue, which would copy it
several times. Its parts are stored one behind the other, as one value beside the list of results,
and its record is a *stub*: ``S``, the size of the whole, the worker that stored it, the table of
the parts. Where the memory of the server is full, the record holds it all instead: ``P``, the
table, a new line, the parts.

The table names the parts by kind and size, as in ``w214 c8388608``: the first part is a pickle, and
the others are the buffers that it leaves out.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dockerparallel_redis_queue_container.large_parts import (
    CHANGEABLE,
    FIXED,
    WHOLE,
    Buffer,
    is_long,
)

LARGE_RESULT = 256 * 1024
"""From how many bytes on a result is stored apart: two more round trips must be worth it."""

STORED = ord("S")
IN_PARTS = ord("P")


class Part(NamedTuple):
    """A part as the table has it.

    Parameters
    ----------
    kind
        One of the letters of ``large_parts``.
    size
        In bytes.
    """

    kind: str
    size: int


@dataclass(frozen=True)
class LargeOutcome:
    """A result in parts, the pickle first, then the buffers that it leaves out."""

    parts: Sequence[tuple[str, Buffer | bytearray]]

    @property
    def size(self) -> int:
        """How many bytes the parts have together."""
        return sum(memoryview(data).nbytes for _, data in self.parts)

    @property
    def table(self) -> str:
        """What names the parts."""
        return " ".join(f"{kind}{memoryview(data).nbytes}" for kind, data in self.parts)

    def stub(self, worker: str) -> bytes:
        """Return what stands for it in a record, once the worker has stored it."""
        return f"S{self.size} {worker} {self.table}".encode()

    def inline(self) -> bytes:
        """Return all of it as one outcome."""
        return b"".join((f"P{self.table}\n".encode(), *(data for _, data in self.parts)))

    def load(self) -> Any:
        """Unpickle the result; raises what unpickling raises."""
        (_, first), *others = self.parts
        return pickle.loads(first, buffers=[data for _, data in others])  # noqa: S301  # our workers


def size_of(outcome: bytes | LargeOutcome) -> int:
    """Return how many bytes an outcome has, large or not."""
    return len(outcome) if isinstance(outcome, bytes) else outcome.size


class Stub(NamedTuple):
    """What :meth:`LargeOutcome.stub` says."""

    size: int
    worker: str
    parts: list[Part]


class ResultParts:
    """Cuts the large buffers out of the pickle of a result."""

    def __init__(self) -> None:
        self._parts: list[tuple[str, Buffer | bytearray]] = []

    def keep(self, buffer: pickle.PickleBuffer) -> bool:
        """Tell whether a buffer stays in the pickle; the pickler calls it with each."""
        view = memoryview(buffer)
        if view.nbytes < LARGE_RESULT or not view.contiguous:
            return True
        owner: object = view.obj
        if isinstance(owner, bytes) and len(owner) == view.nbytes:
            self._parts.append((FIXED, owner))
        else:
            # The next task may change what this one has returned, before it is sent.
            kind = FIXED if view.readonly else CHANGEABLE
            self._parts.append((kind, _of_kind(kind, buffer.raw())))
        return False

    def outcome(self, pickled: bytes) -> LargeOutcome | None:
        """Return the result in parts; ``None`` where it is small."""
        if not self._parts and len(pickled) < LARGE_RESULT:
            return None
        return LargeOutcome([(WHOLE, pickled), *self._parts])


def travels_apart(value: object) -> object:
    """Return what makes a pickler leave long bytes out, as it does arrays; else the value."""
    return pickle.PickleBuffer(value) if is_long(value, LARGE_RESULT) else value


def read_stub(outcome: Buffer) -> Stub:
    """Read an outcome that begins with ``S``."""
    size, worker, table = bytes(outcome[1:]).decode().split(" ", 2)
    return Stub(int(size), worker, _parts_of(table))


def read_inline(outcome: Buffer) -> LargeOutcome:
    """Read an outcome that begins with ``P``; what may be changed is copied."""
    view = memoryview(outcome)
    # Tables are short, and a search through a view is not to be had.
    end = 1
    while view[end] != ord("\n"):
        end += 1
    parts: list[tuple[str, Buffer | bytearray]] = []
    position = end + 1
    for kind, size in _parts_of(bytes(view[1:end]).decode()):
        data = view[position : position + size]
        parts.append((kind, _of_kind(kind, data)))
        position += size
    return LargeOutcome(parts)


def _of_kind(kind: str, data: memoryview) -> bytes | bytearray:
    return bytearray(data) if kind == CHANGEABLE else bytes(data)


def _parts_of(table: str) -> list[Part]:
    return [Part(word[0], int(word[1:])) for word in table.split()]
