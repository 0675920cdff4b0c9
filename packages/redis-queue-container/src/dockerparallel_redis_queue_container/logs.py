"""The log of a running container: standard error, a line at a time."""

from __future__ import annotations

import io
import logging
import sys


def configure_logging(who: str) -> None:
    """Send all logging of this process to standard error, each line with time and ``who``.

    Called by the supervisor, and again by each worker with its own id. Output of user code
    (``print``, ``logging``) is written line by line, so that the lines of several workers do not
    mix and nothing is lost when one is killed.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    logging.basicConfig(
        level=logging.INFO,
        format=f"%(asctime)s {who} %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )
