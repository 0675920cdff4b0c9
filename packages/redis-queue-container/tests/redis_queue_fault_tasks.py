"""Tasks whose results tell whether all arrived as it was sent; shipped to the workers."""

from __future__ import annotations

import re
import time

LARGE = 200_000


def work(number: int, seconds: float, data: bytes, size: int) -> tuple[int, int, bytes]:
    """Take some time, and return what shows which task it was and what came of its argument."""
    if seconds:
        time.sleep(seconds)
    return number, sum(data[:: max(1, len(data) // 100)]), bytes([number % 256]) * size


def arguments(number: int, slow: float = 0.05) -> tuple[int, float, bytes, int]:
    """Return a mix: every 25th takes its time, every 100th gets, and returns, something large."""
    data = bytes([number % 251]) * (LARGE if number % 100 == 1 else 10)
    return number, slow if number % 25 == 0 else 0.0, data, LARGE if number % 100 == 2 else 10


def hold_the_gil(length: int) -> bool:
    """Stay in one call of C, which does not let go of the interpreter's lock."""
    return re.match(r"(a+)+$", "a" * length + "b") is None


def give(number: int, size: int) -> bytes:
    """Return so many bytes, none of which is like those of another number."""
    return bytes([number % 256]) * size
