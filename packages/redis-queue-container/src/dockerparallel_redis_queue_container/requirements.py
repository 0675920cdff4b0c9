"""Checks the names of packages that users ask for, before anything is installed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dockerparallel.errors import InvalidTypeError, InvalidValueError

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_EXTRAS = rf"(?:\s*\[\s*{_NAME}(?:\s*,\s*{_NAME})*\s*\])?"
_CLAUSE = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9_.*+!-]+"
_VERSIONS = rf"(?:\s*\(?\s*{_CLAUSE}(?:\s*,\s*{_CLAUSE})*\s*\)?)?"
_MARKER = r"(?:\s*;[\w\s.'\"<>=!~()-]+)?"
_URL = r"(?:(?:git|hg|svn|bzr)\+)?[a-z][a-z0-9+.-]*://[^\s`$|\"'<>\\]+"
_PATH = r"\.{0,2}/[^`$|\"'<>\\;&*?\x00-\x1f]+"
_PIP = re.compile(
    rf"{_NAME}{_EXTRAS}{_VERSIONS}{_MARKER}|{_NAME}{_EXTRAS}\s*@\s*{_URL}{_MARKER}|{_URL}|{_PATH}"
)
_SYSTEM = re.compile(
    r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9-]+)?(?:=[A-Za-z0-9.+:~-]+)?(?:/[A-Za-z0-9-]+)?"
)
_CREDENTIALS = re.compile(r"(://)[^/\s]*@")


def check_pip_packages(packages: Iterable[object]) -> tuple[str, ...]:
    """Check requirements as pip knows them.

    Called where a user names packages, and again where they are installed.

    Parameters
    ----------
    packages
        Such as ``"scikit-learn"``, ``"numpy>=1.26,<3"``, ``"name[extra]==1.0; marker"``, a URL,
        ``"name @ URL"``, or a path that starts with ``/``, ``./`` or ``../``.

    Returns
    -------
    tuple of str
        The same, without blanks around them and without repetitions, in the order given.

    Raises
    ------
    InvalidTypeError
        An item is no string, or all of it is one string.
    InvalidValueError
        An item is empty, an option, or has another form.
    """
    return _checked(packages, _PIP, "pip package", 'such as "numpy", "numpy==2.1" or a URL')


def check_system_packages(packages: Iterable[object]) -> tuple[str, ...]:
    """Check names of Debian packages.

    Parameters
    ----------
    packages
        Such as ``"libgomp1"`` or ``"git=1:2.39.5-0+deb12u2"``.

    Returns
    -------
    tuple of str
        The same, without blanks around them and without repetitions, in the order given.

    Raises
    ------
    InvalidTypeError
        An item is no string, or all of it is one string.
    InvalidValueError
        An item is empty, an option, or has another form.
    """
    return _checked(packages, _SYSTEM, "system package", 'a Debian package such as "libgomp1"')


def mask_credentials(text: str) -> str:
    """Hide the user and password in the URLs of a text, for logs and messages."""
    return _CREDENTIALS.sub(r"\1****@", text)


def _checked(
    packages: Iterable[object], form: re.Pattern[str], what: str, expected: str
) -> tuple[str, ...]:
    if isinstance(packages, str):
        raise InvalidTypeError(
            f"The {what}s must be several strings, not the one string "
            f"{mask_credentials(packages)!r}: write it in brackets."
        )
    found: dict[str, None] = {}
    for package in packages:
        if not isinstance(package, str):
            raise InvalidTypeError(
                f"A {what} must be a string, not {package!r} of type {type(package).__name__}."
            )
        name = package.strip()
        if not form.fullmatch(name):
            problem = "options are not taken; set PIP_ variables in the container's environment"
            hint = problem if name.startswith("-") else f"it must be {expected}"
            raise InvalidValueError(f"{mask_credentials(package)!r} is no {what}: {hint}.")
        found[name] = None
    return tuple(found)
