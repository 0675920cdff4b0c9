"""Defaults for ``DockerCluster``, and providers and containers given by name."""

from __future__ import annotations

from dockerparallel.container import DockerContainer
from dockerparallel.errors import ExtensionError, InvalidTypeError, InvalidValueError
from dockerparallel.extensions import Kind, find_extension, installed_extensions, load_extension
from dockerparallel.provider import CloudProvider

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


def resolve_provider(given: object) -> CloudProvider:
    """Return the provider that the user gave, named, or left to the preset.

    Raises
    ------
    InvalidValueError
        Nothing was given and there is no preset.
    InvalidTypeError
        ``given`` is something else.
    ExtensionError
        The extension of that name cannot be found, loaded, or made without arguments.
    """
    made = _resolve("provider", given, "provider")
    if not isinstance(made, CloudProvider):
        raise _wrong_type("provider", given, made, "CloudProvider")
    return made


def resolve_container(given: object) -> DockerContainer:
    """Return the worker container that the user gave, named, or left to the preset.

    Raises
    ------
    InvalidValueError, InvalidTypeError, ExtensionError
        As :func:`resolve_provider`.
    """
    made = _resolve("container", given, "worker_container")
    if not isinstance(made, DockerContainer):
        raise _wrong_type("worker_container", given, made, "DockerContainer")
    return made


def _resolve(kind: Kind, given: object, argument: str) -> object:
    if given is None:
        given = _preset.get(kind)
    if given is None:
        known = ", ".join(e.name for e in installed_extensions() if e.kind == kind) or "none"
        raise InvalidValueError(
            f"There is no {kind}: pass {argument}=, an object or the name of an installed "
            f"{kind} ({known}), or call cluster_preset({kind}=...) before."
        )
    if not isinstance(given, str):
        return given
    factory = load_extension(kind, given)
    try:
        return factory()
    except TypeError as error:
        raise ExtensionError(
            f"The {kind} {given!r} cannot be made without arguments ({error}): make it yourself "
            "and pass the object."
        ) from error


def _wrong_type(
    argument: str, given: object, made: object, expected: str
) -> ExtensionError | InvalidTypeError:
    if isinstance(given, str) or given is None:
        return ExtensionError(
            f"The extension for {argument} gives {type(made).__name__}, which is no {expected}: "
            "tell the authors of the extension."
        )
    return InvalidTypeError(
        f"{argument} must be a {expected} object or the name of an installed extension, not "
        f"{given!r}."
    )
