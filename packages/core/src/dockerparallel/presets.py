"""Defaults for ``DockerCluster``, and providers and containers given by name."""

from __future__ import annotations

from typing import TypeVar

from dockerparallel.container import DockerContainer
from dockerparallel.errors import ExtensionError, InvalidTypeError, InvalidValueError
from dockerparallel.extensions import Kind, find_extension, installed_extensions, load_extension
from dockerparallel.provider import CloudProvider

_T = TypeVar("_T", CloudProvider, DockerContainer)
_preset: dict[Kind, str] = {}


def cluster_preset(provider: str | None = None, container: str | None = None) -> None:
    """Set the provider and container that ``DockerCluster`` uses where none is given.

    Called by the user, once in a session. Each new cluster gets objects of its own, made without
    arguments. Nothing is imported until then.

    Parameters
    ----------
    provider, container
        Names of installed extensions, as ``python -m dockerparallel extensions`` lists them.
        ``None`` keeps what was set before.

    Raises
    ------
    InvalidTypeError
        A name is not a string.
    ExtensionNotFoundError, ExtensionConflictError
        Nothing, or more than one thing, of that name is installed; no default was changed.
    """
    wanted: dict[Kind, str] = {}
    for kind, name in _named(provider, container):
        if name is None:
            continue
        if not isinstance(name, str):
            raise InvalidTypeError(
                f"cluster_preset takes the {kind} by name, a string, not {name!r}: pass an object "
                "to DockerCluster instead."
            )
        find_extension(kind, name)
        wanted[kind] = name
    _preset.update(wanted)


def _named(provider: object, container: object) -> list[tuple[Kind, object]]:
    return [("provider", provider), ("container", container)]


def resolve(kind: Kind, expected: type[_T], given: object, argument: str) -> _T:
    """Return the object that the user gave, named, or left to the preset.

    Parameters
    ----------
    expected
        The class that the object must be of.
    given
        An object of that class, the name of an extension, or ``None`` for the preset.
    argument
        Name of the argument, for messages.

    Raises
    ------
    InvalidValueError
        Nothing was given and there is no preset.
    InvalidTypeError
        ``given`` is something else.
    ExtensionError
        The extension of that name cannot be found, loaded, or made without arguments.
    """
    if given is None:
        given = _preset.get(kind)
    if given is None:
        known = ", ".join(e.name for e in installed_extensions() if e.kind == kind) or "none"
        raise InvalidValueError(
            f"There is no {kind}: pass {argument}=, an object or the name of an installed "
            f"{kind} ({known}), or call cluster_preset({kind}=...) before."
        )
    if isinstance(given, str):
        return _make(kind, expected, given)
    if isinstance(given, expected):
        return given
    raise InvalidTypeError(
        f"{argument} must be a {expected.__name__} or the name of an installed {kind}, not "
        f"{given!r}."
    )


def _make(kind: Kind, expected: type[_T], name: str) -> _T:
    factory = load_extension(kind, name)
    try:
        made = factory()
    except TypeError as error:
        raise ExtensionError(
            f"The {kind} {name!r} cannot be made without arguments ({error}): make it yourself "
            "and pass the object."
        ) from error
    if not isinstance(made, expected):
        raise ExtensionError(
            f"The {kind} {name!r} gives {type(made).__name__}, which is no {expected.__name__}: "
            "tell the authors of the extension."
        )
    return made
