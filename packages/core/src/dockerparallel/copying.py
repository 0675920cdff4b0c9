"""Copies that share nothing which a change could reach."""

from __future__ import annotations

import copy
from typing import TypeVar

_T = TypeVar("_T")


def independent_copy(original: _T) -> _T:
    """Copy an object and, attribute by attribute, all that it holds.

    An attribute that refuses to be copied (a lock, a socket, a client of some service) is shared
    between the original and the copy: there is no second one to be had, and such an object is
    used, not changed. References among the attributes are kept.
    """
    duplicate = copy.copy(original)
    memo: dict[int, object] = {id(original): duplicate}
    for name, value in _attributes(original).items():
        try:
            copied = copy.deepcopy(value, memo)
        except (TypeError, NotImplementedError, AttributeError, RuntimeError):
            # What cannot be copied is shared, as the docstring says.
            copied = value
        object.__setattr__(duplicate, name, copied)
    return duplicate


def _attributes(instance: object) -> dict[str, object]:
    """Return the attributes of an instance, those in slots of derived classes included."""
    slots = [name for cls in type(instance).__mro__ for name in getattr(cls, "__slots__", ())]
    own = [name for name in slots if not name.startswith("__") and hasattr(instance, name)]
    return {**{name: getattr(instance, name) for name in own}, **vars(instance)}
