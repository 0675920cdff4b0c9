"""Pickles exceptions so that they arrive as they were, or finds out that they cannot."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle

from dockerparallel_redis_queue_container.serialization import PICKLE_PROTOCOL

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
        except BaseException:  # noqa: BLE001, S112  # methods of the user's class run here
            # The caller sends a stand-in that names the exception; there is nothing else to say.
            continue
    return None


def _pickle_as_usual(error: BaseException) -> bytes:
    return _pickle(error)


def _pickle_without_init(error: BaseException) -> bytes:
    _, args, *state = _builtin_base(type(error)).__reduce__(error)
    return _pickle(_Rebuilt(type(error), args, state[0] if state else None))


def _pickle(obj: object) -> bytes:
    return bytes(cloudpickle.dumps(obj, protocol=PICKLE_PROTOCOL))


class _Rebuilt:
    """Pickles as a call of `_rebuild`, so that what comes out is the exception."""

    def __init__(self, *parts: Any) -> None:
        self._parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._parts


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


def _alike(copy: object, error: BaseException) -> bool:
    if type(copy) is not type(error) or not isinstance(copy, BaseException):
        return False
    return len(copy.args) == len(error.args) and all(
        type(ours) is type(theirs) and (not isinstance(ours, _COMPARABLE) or ours == theirs)
        for ours, theirs in zip(copy.args, error.args, strict=True)
    )
