"""Checks of input, each with a message that holds the value and says what to do.

Part of the developer API: extensions check their own arguments with them. Each raises
``InvalidTypeError`` or ``InvalidValueError`` and returns the value that it was given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from dockerparallel.errors import InvalidTypeError, InvalidValueError

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def check_int(
    name: str, value: object, *, minimum: int, maximum: int | None = None, hint: str = ""
) -> int:
    """Return ``value`` if it is an ``int`` within the bounds (``bool`` is refused)."""
    suffix = f" ({hint})" if hint else ""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidTypeError(
            f"{name} must be a whole number (int), not {value!r} of type "
            f"{type(value).__name__}{suffix}."
        )
    if value < minimum or (maximum is not None and value > maximum):
        bounds = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        raise InvalidValueError(f"{name} must be {bounds}, not {value}{suffix}.")
    return value


def check_bool(name: str, value: object) -> bool:
    """Return ``value`` if it is a ``bool``."""
    if not isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be True or False, not {value!r}.")
    return value


def check_seconds(name: str, value: object) -> float:
    """Return ``value`` if it is a finite number of seconds above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTypeError(f"{name} must be a number of seconds, not {value!r}.")
    if not 0 < value < math.inf:
        raise InvalidValueError(f"{name} must be above 0 and finite, not {value}: it is seconds.")
    return float(value)


def check_str(name: str, value: object) -> str:
    """Return ``value`` if it is a ``str`` that is not empty."""
    if not isinstance(value, str):
        raise InvalidTypeError(
            f"{name} must be a string, not {value!r} of type {type(value).__name__}."
        )
    if not value:
        raise InvalidValueError(f"{name} must not be empty.")
    return value


def check_optional_str(name: str, value: object) -> str | None:
    """Return ``value`` if it is ``None`` or a ``str`` that is not empty."""
    return None if value is None else check_str(name, value)


def check_port(name: str, value: object) -> int:
    """Return ``value`` if it is a TCP port."""
    return check_int(name, value, minimum=1, maximum=65535, hint="a TCP port")


def check_optional_port(name: str, value: object) -> int | None:
    """Return ``value`` if it is ``None`` or a TCP port."""
    return None if value is None else check_port(name, value)


def check_secret(name: str, value: object) -> str:
    """Return ``value`` if it is a ``str`` that is not empty; the message never shows it."""
    if not isinstance(value, str):
        raise InvalidTypeError(f"{name} must be a string, not a {type(value).__name__}.")
    if not value:
        raise InvalidValueError(f"{name} must not be empty: a server is never left open.")
    if "\0" in value:
        raise InvalidValueError(f"{name} must not hold a NUL character: no environment carries it.")
    return value


def check_job_queue_name(value: object) -> str:
    """Return ``value`` if it is a usable ``job_queue_name``."""
    return check_identifier("job_queue_name", value)


def check_identifier(name: str, value: object) -> str:
    """Return ``value`` if it names something as ``job_queue_name`` does: 1 to 63 characters."""
    if not isinstance(value, str):
        raise InvalidTypeError(
            f"{name} must be a string, not {value!r} of type {type(value).__name__}."
        )
    if not _IDENTIFIER.fullmatch(value):
        raise InvalidValueError(
            f"{name} {value!r} cannot be used: it may hold letters, digits, '_' and '-', "
            "at most 63 characters, and starts with a letter or digit."
        )
    return value


def check_environment(name: str, value: object, *, secret: bool = False) -> None:
    """Check that ``value`` maps variable names to strings; secrets are never shown."""
    if not isinstance(value, Mapping):
        shown = "" if secret else f" {value!r} of"
        raise InvalidTypeError(f"{name} must be a dict of strings, not{shown} {type(value)}.")
    for key, entry in value.items():
        check_environment_entry(name, key, entry, secret=secret)


def check_file_name(name: str, key: str) -> None:
    """Check that a secret's name can be the name of a file, as which providers hand it over."""
    if "/" in key or key in {".", ".."}:
        raise InvalidValueError(
            f"{name} has the name {key!r}, which no file can have: providers hand secrets over as "
            "files of their names."
        )


def check_environment_entry(name: str, key: Any, entry: Any, *, secret: bool = False) -> None:
    """Check one variable of an environment."""
    if not isinstance(key, str) or not key or "=" in key or "\0" in key:
        raise InvalidValueError(
            f"{name} has the variable name {key!r}: names are strings without '=', not empty."
        )
    if not isinstance(entry, str):
        shown = type(entry).__name__ if secret else repr(entry)
        raise InvalidTypeError(
            f"{name}[{key!r}] must be a string, not {shown}: write str(...) around it."
        )
    if "\0" in entry:
        raise InvalidValueError(f"{name}[{key!r}] must not hold a NUL character.")
