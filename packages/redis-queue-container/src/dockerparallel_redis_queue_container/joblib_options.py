"""What may be asked of the joblib backend beyond what joblib itself understands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dockerparallel.errors import InvalidTypeError
from dockerparallel.validation import check_int

_OURS = ("initializer", "initargs")
# joblib gives the first five to every backend; the last one is loky's, about processes of this
# machine that end when they are idle, and ours are the cluster's.
_WITHOUT_EFFECT = (
    "context",
    "max_nbytes",
    "mmap_mode",
    "temp_folder",
    "verbose",
    "idle_worker_timeout",
)


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options of a backend, or of a ``Parallel`` object, that cannot be used.

    Raises
    ------
    InvalidTypeError
        An option is unknown, or has a value of the wrong type.
    """
    unknown = sorted(set(options) - {*_OURS, *_WITHOUT_EFFECT})
    if unknown:
        hint = ""
        if "timeout" in unknown:
            hint = " The time that results may take is Parallel(timeout=...)."
        raise InvalidTypeError(
            f"The joblib backend 'redis-queue' has no option {', '.join(map(repr, unknown))}: it "
            f"takes inner_max_num_threads, {', '.join(_OURS)}.{hint}"
        )
    initializer = options.get("initializer")
    if initializer is not None and not callable(initializer):
        raise InvalidTypeError(f"initializer must be callable, not {initializer!r}.")
    if not isinstance(options.get("initargs", ()), tuple | list):
        raise InvalidTypeError(
            f"initargs must be a tuple of the initializer's arguments, not {options['initargs']!r}."
        )


def check_threads(number: Any) -> int | None:
    """Return ``inner_max_num_threads``, or refuse it.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        It is neither ``None`` nor a whole number from 1.
    """
    return None if number is None else check_int("inner_max_num_threads", number, minimum=1)
