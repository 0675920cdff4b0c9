"""Pickles exceptions so that they arrive as they were, or finds out that they cannot."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from typing import Any

import cloudpickle

from dockerparallel_redis_queue_container.serialization import PICKLE_PROTOCOL

RAISED_BY_VALUES = (Exception, SystemExit, KeyboardInterrupt, GeneratorExit)
"""What the methods of a user's object may raise while it is pickled, unpickled or shown.

Not all of BaseException: with a class of its own a signal handler tells a worker to end.
"""

_COMPARABLE = (str, bytes, int, bool)


def pickle_exception(error: BaseException) -> bytes | None:
    """Pickle an exception with its arguments, attributes and notes, and try it out.

    An exception class with an ``__init__`` of its own often cannot be unpickled in the usual way,
    or comes out changed, because the usual way calls the class with ``error.args``. Such an
    exception is rebuilt without its own ``__init__``.

    Parameters
    ----------
    error
        The exception. Its own methods may do anything, even raise.

    Returns
    -------
    bytes or None
        A pickle that gives the same exception, tried on this process; ``None`` if there is none.
    """
    for make in (_pickle_as_usual, _pickle_without_init):
        try:
            data = make(error)
            copy = pickle.loads(data)  # noqa: S301  # made in this process a moment ago
            if _alike(copy, error):
                return data
        except RAISED_BY_VALUES:
            # The caller sends a stand-in that names the exception; there is nothing else to say.
            continue
    return None


def _pickle_as_usual(error: BaseException) -> bytes:
    return bytes(cloudpickle.dumps(error, protocol=PICKLE_PROTOCOL))


def _pickle_without_init(error: BaseException) -> bytes:
    with io.BytesIO() as buffer:
        _RebuildingPickler(buffer, protocol=PICKLE_PROTOCOL).dump(error)
        return buffer.getvalue()


class _RebuildingPickler(cloudpickle.CloudPickler):  # type: ignore[misc]  # it has no types
    """Pickles each exception, also those inside another, as a call of `_rebuild`."""

    def reducer_override(self, obj: Any) -> Any:
        """Decide for one object; pickle calls it."""
        if not isinstance(obj, BaseException):
            return super().reducer_override(obj)
        kind = type(obj)
        _, args, *state = _builtin_base(kind).__reduce__(obj)
        return _rebuild, (kind, args, state[0] if state else None)


def _rebuild(
    kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any] | None
) -> BaseException:
    error = kind.__new__(kind, *args)
    _builtin_base(kind).__init__(error, *args)
    if state is not None:
        BaseException.__setstate__(error, state)
    return error


def _builtin_base(kind: type[BaseException]) -> Any:
    return next(base for base in kind.__mro__ if base.__module__ == "builtins")


def _alike(copy: object, error: object) -> bool:
    if type(copy) is not type(error):
        return False
    if isinstance(copy, BaseException) and isinstance(error, BaseException):
        return _all_alike(copy.args, error.args) and _all_alike(_members(copy), _members(error))
    # Other arguments may not say that they are equal, as a default __eq__ and arrays do.
    return not isinstance(copy, _COMPARABLE) or copy == error


def _all_alike(copies: Sequence[object], originals: Sequence[object]) -> bool:
    return len(copies) == len(originals) and all(map(_alike, copies, originals))


def _members(error: BaseException) -> Sequence[BaseException]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()
