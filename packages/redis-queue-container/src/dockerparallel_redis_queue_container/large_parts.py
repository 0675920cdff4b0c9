"""The large parts of a task: cut out of its pickle on the client, and put back on the worker.

A part is named by its content, so that the same data, shared by many tasks, is sent to the server
once and to each worker once. To know the content costs as much as to send it; of ``bytes``, which
never change, the object itself is enough.
"""

from __future__ import annotations

import hashlib
import pickle
import secrets
import threading
from collections import OrderedDict
from typing import Any, TypeGuard

Buffer = bytes | memoryview

LARGE = 128 * 1024
"""From how many bytes on a part travels apart: hashing and asking for it must be worth it."""

WHOLE = "w"
CHANGEABLE = "c"
FIXED = "f"
"""First letters of names: the pickle itself, data that the task may change, data that it cannot."""

_MOST_SEEN = 64 * 1024 * 1024
_LONG_KINDS = (bytes, bytearray)


class SeenBytes:
    """Names ``bytes`` that are sent again and again without reading them. Thread-safe.

    It keeps those that it knows, so that no other object can be taken for one of them: 64 MiB.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[int, tuple[bytes, str]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def name(self, data: bytes) -> str | None:
        """Return the name of this object; ``None`` where it is too big to be kept."""
        if len(data) > _MOST_SEEN // 4:
            return None
        with self._lock:
            if id(data) not in self._seen:
                self._seen[id(data)] = (data, secrets.token_hex(32))
                self._size += len(data)
                while self._size > _MOST_SEEN:
                    _, (old, _) = self._seen.popitem(last=False)
                    self._size -= len(old)
            self._seen.move_to_end(id(data))
            return self._seen[id(data)][1]


class LargeParts:
    """Collects the large parts of one pickle.

    Parameters
    ----------
    seen
        The names of ``bytes`` that the client has sent.
    """

    def __init__(self, seen: SeenBytes) -> None:
        self._seen = seen
        self.blobs: dict[str, Buffer] = {}
        self.names: list[str] = []

    def replace(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Make long bytes among the arguments travel apart, as arrays do by themselves."""
        if any(is_long(value) for value in args):
            args = tuple(pickle.PickleBuffer(v) if is_long(v) else v for v in args)
        if any(is_long(value) for value in kwargs.values()):
            kwargs = {
                name: pickle.PickleBuffer(value) if is_long(value) else value
                for name, value in kwargs.items()
            }
        return args, kwargs

    def keep(self, buffer: pickle.PickleBuffer) -> bool:
        """Tell whether a buffer stays in the pickle; the pickler calls it with each."""
        view = memoryview(buffer)
        if view.nbytes < LARGE or not view.contiguous:
            return True
        owner: object = view.obj
        name = None
        if isinstance(owner, bytes) and len(owner) == view.nbytes:
            name = self._seen.name(owner)
        self._add(FIXED if view.readonly else CHANGEABLE, buffer.raw(), name)
        return False

    def whole(self, payload: bytes) -> bytes:
        """Take out the rest of the pickle, too; returns what stands for it: nothing."""
        # No other task has the same.
        self._add(WHOLE, payload, secrets.token_hex(32))
        return b""

    def _add(self, kind: str, data: Buffer, name: str | None) -> None:
        name = kind + (name or hashlib.sha256(data).hexdigest())
        self.names.append(name)
        self.blobs[name] = data


def is_long(value: object, least: int = LARGE) -> TypeGuard[bytes | bytearray]:
    """Tell whether a value is bytes of at least so many."""
    # Not for subclasses, which may be pickled in their own way.
    kind = type(value)
    return isinstance(value, (bytes, bytearray)) and kind in _LONG_KINDS and len(value) >= least
