"""Promises, and the checks that guard them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dockerparallel import Capability

if TYPE_CHECKING:
    from dockerparallel_conformance.subject import Subject

Check = Callable[[Any, "Subject"], None]

_MARK = "Troubleshooting:"
_ATTRIBUTE = "promise"


@dataclass(frozen=True)
class Promise:
    """What an extension promises, and what to look at where it is not kept.

    Parameters
    ----------
    number
        Such as ``"P-7"`` for a provider or ``"C-3"`` for a container; never used for another.
    capability
        What the extension must claim for the promise to bind it; ``None`` where all are bound.
    check
        Name of the method that guards it.
    text
        The promise, as prose.
    troubleshooting
        What usually went wrong where it is broken.
    """

    number: str
    capability: Capability | None
    check: str
    text: str
    troubleshooting: str

    @property
    def title(self) -> str:
        """The first line of the promise, as plain text without its full stop."""
        return self.text.partition("\n")[0].removesuffix(".").replace("``", "")

    @property
    def order(self) -> tuple[int, int]:
        """A key that sorts promises in the order of a cluster's life."""
        return order_of(self.number)


def order_of(number: str) -> tuple[int, int]:
    """Return the sort key of a promise's number; providers come before containers."""
    letter, _, place = number.partition("-")
    return "PC".index(letter), int(place)


def promise(number: str, capability: Capability | None = None) -> Callable[[Check], Check]:
    """Make a method the check of the promise that its docstring states.

    The docstring's first line is the promise in one sentence. Further paragraphs may follow; the
    last begins with ``Troubleshooting:``. Whoever calls the method, pytest or the one-call form,
    gets the same: capabilities are looked at, the time is limited, and what the check has started
    is ended.
    """

    def guard(check: Check) -> Check:
        text, mark, trouble = (inspect.getdoc(check) or "").partition(_MARK)
        if not mark:
            raise TypeError(f"The docstring of {check.__name__} has no paragraph '{_MARK}'.")
        described = Promise(number, capability, check.__name__, text.strip(), trouble.strip())

        @functools.wraps(check)
        def checked(self: Any, subject: Subject) -> None:
            with subject.checking(described):
                check(self, subject)

        setattr(checked, _ATTRIBUTE, described)
        return checked

    return guard


def promise_of(check: object) -> Promise | None:
    """Return the promise that a function guards; ``None`` where it is no check."""
    found = getattr(check, _ATTRIBUTE, None)
    return found if isinstance(found, Promise) else None


def promises_of(cls: type) -> list[Promise]:
    """Return the promises that a conformance class checks, in the order of a cluster's life."""
    found = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            guarded = promise_of(member)
            if guarded is not None:
                found[name] = guarded
    return sorted(found.values(), key=lambda promise: promise.order)


def unexplained_overrides(cls: type) -> list[str]:
    """Return the checks that ``cls`` replaces without an xfail mark that gives a reason."""
    return [
        guarded.check
        for guarded in promises_of(cls)
        if promise_of(getattr(cls, guarded.check)) is None
        and not _expects_failure(getattr(cls, guarded.check))
    ]


def _expects_failure(check: object) -> bool:
    marks = getattr(check, "pytestmark", [])
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)
