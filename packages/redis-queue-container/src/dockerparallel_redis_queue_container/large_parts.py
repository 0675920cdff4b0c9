"""The large parts of a task: cut out of its pickle on the client, and put back on the worker.

A part is named by its content, so that the same data, shared by many tasks, is sent to the server
once and to each worker once.
"""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

Buffer = bytes | memoryview

LARGE = 128 * 1024
"""From how many bytes on a part travels apart: hashing and asking for it must be worth it."""

WHOLE = "w"
CHANGEABLE = "c"
FIXED = "f"
"""First letters of names: the pickle itself, data that the task may change, data that it cannot."""

_LONG_KINDS = (bytes, bytearray)


class LargeParts:
    """Collects the large parts of one pickle."""

    def __init__(self) -> None:
        self.blobs: dict[str, Buffer] = {}
        self.names: list[str] = []

    def replace(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Make long bytes among the arguments travel apart, as arrays do by themselves."""
        if any(_is_long(value) for value in args):
            args = tuple(pickle.PickleBuffer(v) if _is_long(v) else v for v in args)
        if any(_is_long(value) for value in kwargs.values()):
            kwargs = {
                name: pickle.PickleBuffer(value) if _is_long(value) else value
                for name, value in kwargs.items()
            }
        return args, kwargs

    def keep(self, buffer: pickle.PickleBuffer) -> bool:
        """Tell whether a buffer stays in the pickle; the pickler calls it with each."""
        view = memoryview(buffer)
        if view.nbytes < LARGE or not view.contiguous:
            return True
        self._add(FIXED if view.readonly else CHANGEABLE, buffer.raw())
        return False

    def whole(self, payload: bytes) -> bytes:
        """Take out the rest of the pickle, too; returns what stands for it: nothing."""
        self._add(WHOLE, payload)
        return b""

    def _add(self, kind: str, data: Buffer) -> None:
        name = kind + hashlib.sha256(data).hexdigest()
        self.names.append(name)
        self.blobs[name] = data


def _is_long(value: object) -> bool:
    # Not for subclasses, which may be pickled in their own way.
    kind = type(value)
    return isinstance(value, (bytes, bytearray)) and kind in _LONG_KINDS and len(value) >= LARGE
