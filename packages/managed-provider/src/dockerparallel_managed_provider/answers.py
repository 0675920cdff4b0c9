"""Checks of what a platform's own methods return, before anything is built on it.

A wrong answer would otherwise show much later, as a worker that nobody finds any more.
"""

from __future__ import annotations

from typing import Any

from dockerparallel import ProviderError, Status


def check_statuses(method: str, handles: list[str], answer: Any) -> list[Status]:
    """Return the answer of a ``worker_status`` as statuses, one for each handle.

    Raises
    ------
    ProviderError
        It is no list of as many statuses as there are handles.
    """
    statuses = []
    for handle, value in zip(handles, _items(method, handles, answer), strict=True):
        try:
            statuses.append(Status(value))
        except ValueError:
            raise ProviderError(
                f"{method} gave {value!r} for the handle {handle!r}: it must be one of "
                f"{', '.join(repr(status.value) for status in Status)}."
            ) from None
    return statuses


def check_flags(method: str, handles: list[str], answer: Any) -> list[bool]:
    """Return the answer of a method that gives one bool for each handle.

    Raises
    ------
    ProviderError
        It is no list of as many bools as there are handles.
    """
    flags = _items(method, handles, answer)
    for handle, value in zip(handles, flags, strict=True):
        if not isinstance(value, bool):
            raise ProviderError(
                f"{method} gave {value!r} for the handle {handle!r}: it must be True or False."
            )
    return flags


def usable_handles(answer: Any) -> list[str]:
    """Return those items of a ``run_worker_containers`` answer that can be handles."""
    if not isinstance(answer, list | tuple):
        return []
    return [item for item in answer if isinstance(item, str) and item]


def _items(method: str, handles: list[str], answer: Any) -> list[Any]:
    if not isinstance(answer, list | tuple):
        raise ProviderError(
            f"{method} gave {answer!r}: it must be a list with one item for each handle."
        )
    if len(answer) != len(handles):
        raise ProviderError(
            f"{method} gave {len(answer)} item(s) for {len(handles)} handle(s): it must be a list "
            f"with one item for each handle, in their order. It gave {answer!r}."
        )
    return list(answer)
