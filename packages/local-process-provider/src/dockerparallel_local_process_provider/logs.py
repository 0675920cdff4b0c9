"""Reading back what the processes of a cluster have printed."""

from __future__ import annotations

from pathlib import Path

_TAIL_LINES = 20
_TAIL_BYTES = 16384


def read_log(file: Path, lines: int | None = None) -> str:
    """Return a log, or its last ``lines`` lines; empty where there is none."""
    try:
        text = file.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return text if lines is None else "".join(text.splitlines(keepends=True)[-lines:])


def tail(file: Path) -> str:
    """Return the end of a log for a message, indented, without reading all of a long one."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        text = ""
    lines = text.splitlines()[-_TAIL_LINES:]
    if not lines:
        return f"It has printed nothing to {file}."
    return "\n".join([f"The end of {file}:", *(f"    {line}" for line in lines)])
