"""Finding installed extensions by name, through entry points.

A distribution registers providers in the group ``dockerparallel.providers`` and containers in
``dockerparallel.containers``. Listing imports nothing; an extension is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, NamedTuple

from dockerparallel.errors import (
    ExtensionConflictError,
    ExtensionError,
    ExtensionNotFoundError,
)

Kind = Literal["provider", "container"]

GROUPS: dict[Kind, str] = {
    "provider": "dockerparallel.providers",
    "container": "dockerparallel.containers",
}


TEMPLATES = "dockerparallel.templates"
"""Group in which a reference extension names its package, to be copied by ``new``."""


class ExtensionInfo(NamedTuple):
    """An installed extension, as its distribution describes it."""

    kind: Kind
    """``"provider"`` or ``"container"``."""
    name: str
    """The name that ``cluster_preset`` and ``DockerCluster`` accept."""
    distribution: str
    """The distribution that registers it."""
    version: str
    """The version of that distribution."""
    target: str
    """``module:attribute`` that makes the extension."""


def installed_extensions() -> list[ExtensionInfo]:
    """Return all installed extensions, by kind and name; imports none of them."""
    return [
        ExtensionInfo(kind, entry.name, *_distribution(entry), entry.value)
        for kind, group in GROUPS.items()
        for entry in sorted(_unique(entry_points(group=group)), key=lambda entry: entry.name)
    ]


def load_extension(kind: Kind, name: str) -> Callable[[], Any]:
    """Import the extension ``name`` and return what makes it: a class, or a function.

    Raises
    ------
    ExtensionNotFoundError
        Nothing installed has that name; the message lists what is installed.
    ExtensionConflictError
        Two distributions claim the name; the message names both.
    ExtensionError
        The extension cannot be imported.
    """
    found = find_extension(kind, name)
    try:
        factory: Callable[[], Any] = found.load()
    except (ImportError, AttributeError) as error:
        raise ExtensionError(
            f"The {kind} {name!r} of {_distribution(found)[0]} cannot be loaded from "
            f"{found.value!r}: {error}"
        ) from error
    return factory


def find_extension(kind: Kind, name: str) -> EntryPoint:
    """Return the entry point of the extension ``name`` without importing it.

    Raises
    ------
    ExtensionNotFoundError, ExtensionConflictError
        As :func:`load_extension`.
    """
    group = _unique(entry_points(group=GROUPS[kind]))
    matches = [entry for entry in group if entry.name == name]
    if len(matches) > 1:
        claimants = " and ".join(sorted(" ".join(_distribution(entry)) for entry in matches))
        raise ExtensionConflictError(
            f"The {kind} name {name!r} is claimed by {claimants}: uninstall one of them."
        )
    if not matches:
        installed = ", ".join(sorted({entry.name for entry in group})) or "none"
        raise ExtensionNotFoundError(
            f"No {kind} {name!r} is installed. Installed: {installed}. "
            f"Perhaps: pip install dockerparallel-{name}-{kind}"
        )
    return matches[0]


def find_template(kind: Kind) -> tuple[EntryPoint, str]:
    """Return the entry point of the reference extension of a kind, and its distribution.

    Raises
    ------
    ExtensionNotFoundError
        None is installed.
    ExtensionConflictError
        Two distributions offer one; the message names both.
    """
    matches = [entry for entry in _unique(entry_points(group=TEMPLATES)) if entry.name == kind]
    owners = sorted(" ".join(_distribution(entry)) for entry in matches)
    if len(matches) > 1:
        raise ExtensionConflictError(
            f"A template for a {kind} is offered by {' and '.join(owners)}: uninstall one."
        )
    if not matches:
        likely = "local-process-provider" if kind == "provider" else "redis-queue-container"
        raise ExtensionNotFoundError(
            f"No extension that can be copied to a new {kind} is installed. Perhaps: "
            f"pip install dockerparallel-{likely}"
        )
    return matches[0], owners[0]


def _unique(entries: Any) -> list[EntryPoint]:
    """Drop what a distribution that is found twice (source tree and install) registers twice."""
    seen: dict[tuple[str, str, str], EntryPoint] = {}
    for entry in entries:
        seen.setdefault((entry.name, entry.value, _distribution(entry)[0]), entry)
    return list(seen.values())


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    if entry.dist is None:
        return "unknown distribution", "unknown version"
    return entry.dist.name, entry.dist.version
