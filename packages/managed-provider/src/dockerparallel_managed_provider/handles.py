"""Small helpers on lists of worker handles."""

from __future__ import annotations

from collections.abc import Iterable

from dockerparallel import InvalidTypeError, InvalidValueError


def check_handles(handles: Iterable[str]) -> list[str]:
    """Return ``handles`` as a list if they can be handles; see ``add_worker_handles``."""
    if isinstance(handles, str):
        raise InvalidTypeError(
            f"handles must be a list of strings, not the string {handles!r}: write [{handles!r}]."
        )
    checked = list(handles)
    for handle in checked:
        if not isinstance(handle, str):
            raise InvalidTypeError(f"a worker handle must be a string, not {handle!r}.")
        if not handle:
            raise InvalidValueError("a worker handle must not be an empty string.")
    return checked


def count(handles: Iterable[str]) -> dict[str, int]:
    """Return how many workers each handle stands for, in the order of the handles."""
    counts: dict[str, int] = {}
    for handle in handles:
        counts[handle] = counts.get(handle, 0) + 1
    return counts


def unique(handles: Iterable[str]) -> list[str]:
    """Return each handle once, in the order of the handles."""
    return list(dict.fromkeys(handles))


def listed(handles: list[str], most: int = 20) -> str:
    """Return the handles for a message, not too many of them."""
    shown = ", ".join(handles[:most])
    return shown if len(handles) <= most else f"{shown} and {len(handles) - most} more"
