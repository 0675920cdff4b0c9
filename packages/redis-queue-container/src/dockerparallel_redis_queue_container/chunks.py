"""What a worker calls to run several calls that travel as one task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")


def run_chunk(function: Callable[..., _T], chunk: Sequence[tuple[Any, ...]]) -> list[_T]:
    """Return ``function`` of each tuple of arguments, in their order."""
    return [function(*arguments) for arguments in chunk]
