"""Tasks that every worker can run, whatever is installed there.

A worker has Python and its backend, and nothing of this suite. So a task is an expression over
the standard library, and its argument the names that stand in it: both pickle by reference to
built-ins.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dockerparallel.environment import SECRETS_DIR_VARIABLE

Task = Callable[[dict[str, Any]], Any]


def expression(source: str) -> Task:
    """Return a task that evaluates ``source`` with the names that its argument gives."""
    return functools.partial(eval, source)


IDENTITY = expression(
    "(__import__('time').sleep(pause), __import__('platform').node(), __import__('os').getpid())"
    "[1:]"
)
"""Which process of which host runs it, after ``pause`` seconds, so that other workers join in."""

ENVIRONMENT = expression("__import__('os').environ.get(name)")
"""The environment variable ``name`` of the worker; ``None`` where there is none."""

SECRET_FILE = expression(
    "(lambda path: path.read_text() if path.is_file() else None)(__import__('pathlib').Path("
    f"__import__('os').environ.get('{SECRETS_DIR_VARIABLE}') or '/run/secrets', name))"
)
"""The secret ``name`` where the worker has it as a file; ``None`` where it does not."""

DOUBLE = expression("(__import__('time').sleep(pause), 2 * number)[1]")
"""Twice ``number``, after ``pause`` seconds."""

FAILURE = expression("int(text)")
"""A ``ValueError`` that quotes ``text``, where that is no number."""
