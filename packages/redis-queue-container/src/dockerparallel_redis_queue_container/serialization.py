"""Pickles tasks on the client: by reference where the workers can import, by value elsewhere.

The bytes of a task are a pickle, then a header, then the length of the header and four letters::

    pickle | header (JSON) | length of the header (4 bytes, big endian) | b"DPT1"

A task whose function was pickled before (``KnownFunctions``) is, instead::

    pickle of the arguments | bytes of the function, as above | their length | b"DPF1"

and one with large parts, which travel apart as blobs and only once for all tasks that share them::

    bytes of the task, as above | names of the blobs | their length | b"DPB1"

The header stands at the end so that neither side copies the pickle, which ends itself: more parts
can follow it later. It is JSON because it is read before anything is known of the other side's
Python. Its keys are ``python`` (``[3, 11]``), ``client`` (names the client's process) and
``modules`` (top-level module to digest of its bundle).
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, NamedTuple

import cloudpickle

from dockerparallel_redis_queue_container.code_shipping import CodeShipper, Shipment
from dockerparallel_redis_queue_container.errors import CodeShippingError
from dockerparallel_redis_queue_container.import_scan import roots_in_function
from dockerparallel_redis_queue_container.known_functions import ATOMS, KnownFunctions
from dockerparallel_redis_queue_container.large_parts import LARGE, Buffer, LargeParts, SeenBytes
from dockerparallel_redis_queue_container.warning_categories import reduce_category

PICKLE_PROTOCOL = 5
"""The protocol of every pickle that travels."""

_MAGIC = b"DPT1"
_KNOWN_MAGIC = b"DPF1"
_BLOBS_MAGIC = b"DPB1"
_LENGTH = struct.Struct(">I")
_TRAILER_BYTES = _LENGTH.size + len(_MAGIC)

_CLIENT = uuid.uuid4().hex
_SMALL = 1024
_NO_BLOBS: dict[str, Buffer] = {}


@dataclass(frozen=True)
class TaskHeader:
    """What a worker reads of a task before it unpickles it.

    Parameters
    ----------
    python
        Minor version of the client's Python, such as ``(3, 11)``.
    client
        Names the client's process. Modules of two clients are kept apart.
    modules
        Top-level module to digest of its bundle.
    """

    python: tuple[int, int]
    client: str
    modules: dict[str, str]


def header_bytes(blob: bytes) -> bytes:
    """Cut the header out of the bytes of a task, still encoded.

    Raises
    ------
    CodeShippingError
        The bytes are not those of a task, or those of another release of this package.
    """
    if len(blob) < _TRAILER_BYTES or blob[-len(_MAGIC) :] != _MAGIC:
        raise CodeShippingError(
            f"The {len(blob)} bytes of a task are not in the form that this worker reads "
            f"({_MAGIC!r}). Client and workers must run the same release of "
            "dockerparallel-redis-queue-container."
        )
    end = len(blob) - _TRAILER_BYTES
    (length,) = _LENGTH.unpack_from(blob, end)
    return blob[end - length : end]


def decode_header(header: bytes) -> TaskHeader:
    """Decode what `header_bytes` gives."""
    content = json.loads(header)
    major, minor = content["python"]
    return TaskHeader((major, minor), content["client"], content["modules"])


@lru_cache(maxsize=256)
def _trailer(modules: tuple[tuple[str, str], ...]) -> bytes:
    content = {
        "python": list(sys.version_info[:2]),
        "client": _CLIENT,
        "modules": dict(modules),
    }
    header = json.dumps(content).encode()
    return header + _LENGTH.pack(len(header)) + _MAGIC


def split_trailer(blob: bytes, magic: bytes) -> tuple[bytes, bytes] | None:
    """Cut a part off the end of a task; ``None`` where the task is of another form.

    Returns
    -------
    rest : bytes
        What stands before it.
    part : bytes
        The part.
    """
    if blob[-len(magic) :] != magic:
        return None
    end = len(blob) - _TRAILER_BYTES
    (length,) = _LENGTH.unpack_from(blob, end)
    return blob[: end - length], blob[end - length : end]


def split_known(blob: bytes) -> tuple[bytes, bytes] | None:
    """Cut a task into the pickle of its arguments and the bytes of its function."""
    return split_trailer(blob, _KNOWN_MAGIC)


def split_blobs(blob: bytes) -> tuple[bytes, list[str]] | None:
    """Cut a task into the bytes without its large parts, and the names of those."""
    parts = split_trailer(blob, _BLOBS_MAGIC)
    return None if parts is None else (parts[0], parts[1].decode().split())


class Packed(NamedTuple):
    """A task ready to be sent.

    Parameters
    ----------
    payload
        For `TaskLoader.loads` on a worker.
    blobs
        The large parts by their names, which the worker asks for.
    """

    payload: bytes
    blobs: dict[str, Buffer]


class TaskPickler:
    """Turns tasks into bytes, and sends the user's own modules ahead of them.

    Made by the client once for each connection. Functions and classes of ``__main__``, of a
    notebook, lambdas and closures are pickled by value; so are those of a module that cannot be
    imported again by its name. Those of installed modules are pickled by reference. The top-level
    modules that are the user's own are pickled by reference, too, and their source is sent.

    What is sent is the source **as it is on disk** when `dumps` is called. Where a file was edited
    and the client has not reloaded it, the workers run the edited file.

    Parameters
    ----------
    put_code
        Called with the digest (64 hexadecimal digits) and the bytes of each bundle that was not
        sent by this object before, and finished before `dumps` returns. It may block.
    """

    def __init__(self, put_code: Callable[[str, bytes], None]) -> None:
        self._shipper = CodeShipper(put_code)
        self._known = KnownFunctions(self._pickle_alone)
        self._seen = SeenBytes()

    def pack(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        in_a_row: bool = False,
    ) -> Packed:
        """Pickle a call, with its large parts apart; see `dumps`.

        Where calls come ``in_a_row``, without a moment in which a file could have been edited for
        the next one, files are looked at now and then only: at most a second passes in between.
        """
        if not kwargs and _are_small_atoms(args):
            known = self._known.pickled(function)
            if known is not None:
                return Packed(
                    pickle.dumps(args, PICKLE_PROTOCOL)
                    + known
                    + _LENGTH.pack(len(known))
                    + _KNOWN_MAGIC,
                    _NO_BLOBS,
                )
        large = LargeParts(self._seen)
        args, kwargs = large.replace(args, kwargs)
        payload = self._pickle((function, args, kwargs), large.keep, in_a_row=in_a_row)
        if len(payload) >= LARGE:
            payload = large.whole(payload)
        if not large.blobs:
            return Packed(payload, _NO_BLOBS)
        names = " ".join(large.names).encode()
        return Packed(payload + names + _LENGTH.pack(len(names)) + _BLOBS_MAGIC, large.blobs)

    def dumps(self, obj: object) -> bytes:
        """Pickle a task.

        Thread-safe. Costs, beyond the pickling, one ``stat`` for each file of the user's modules
        that the task needs. Blocks while a bundle is sent.

        Parameters
        ----------
        obj
            Any object that cloudpickle can pickle.

        Returns
        -------
        bytes
            For `TaskLoader.loads` on a worker.

        Raises
        ------
        CodeShippingError
            A module of the user is too large to be sent, or cannot be read.
        pickle.PicklingError, TypeError
            The object cannot be pickled; the message is cloudpickle's own.
        Exception
            Whatever ``put_code``, or the object's own ``__reduce__``, raises.
        """
        return self._pickle(obj, None)

    def _pickle(
        self,
        obj: object,
        keep: Callable[[pickle.PickleBuffer], bool] | None,
        *,
        in_a_row: bool = False,
    ) -> bytes:
        shipment = self._shipper.shipment(in_a_row=in_a_row)
        with io.BytesIO() as buffer:
            _ShippingPickler(buffer, shipment, keep).dump(obj)
            buffer.write(_trailer(tuple(sorted(shipment.digests.items()))))
            return buffer.getvalue()

    def _pickle_alone(self, function: object) -> tuple[bytes, bool]:
        shipment = self._shipper.shipment()
        with io.BytesIO() as buffer:
            _ShippingPickler(buffer, shipment, None).dump(function)
            buffer.write(_trailer(tuple(sorted(shipment.digests.items()))))
            return buffer.getvalue(), not shipment.digests


def _are_small_atoms(values: tuple[Any, ...]) -> bool:
    for value in values:
        kind = type(value)
        if kind not in ATOMS or ((kind is bytes or kind is str) and len(value) > _SMALL):
            return False
    return True


class _ShippingPickler(cloudpickle.CloudPickler):  # type: ignore[misc]  # it has no types
    """Tells a shipment which modules a pickle refers to."""

    def __init__(
        self,
        file: io.BytesIO,
        shipment: Shipment,
        keep: Callable[[pickle.PickleBuffer], bool] | None,
    ) -> None:
        super().__init__(file, protocol=PICKLE_PROTOCOL, buffer_callback=keep)
        self._shipment = shipment

    def reducer_override(self, obj: Any) -> Any:
        """Note the module of an object, and let cloudpickle decide how it is pickled.

        pickle calls this for every object but those of its own basic types.
        """
        kind = type(obj)
        if kind is ModuleType:
            name = obj.__name__
        elif kind is FunctionType or kind is BuiltinFunctionType or issubclass(kind, type):
            name = obj.__module__
        else:
            # An instance's class is pickled with it, unless it stands for a global by its name.
            name = kind.__module__
            if name == "numpy" and kind.__name__ == "memmap":
                # The worker has no such file: it gets an array, once for all tasks that share it.
                return sys.modules[name].asarray(obj).__reduce_ex__(PICKLE_PROTOCOL)
        shipped = self._shipment.prepare(name)
        reduced = super().reducer_override(obj)
        if shipped and reduced is NotImplemented:
            self._shipment.add(name.partition(".")[0])
        elif reduced is NotImplemented and isinstance(obj, type):
            return reduce_category(obj) or NotImplemented
        elif kind is FunctionType and reduced is not NotImplemented:
            for root in roots_in_function(obj):
                self._shipment.add(root)
        return reduced
