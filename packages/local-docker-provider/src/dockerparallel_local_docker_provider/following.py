"""Reading a container's log line by line, as it grows."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from dockerparallel_local_docker_provider.engine import Engine


def follow_log(
    engine: Engine, container_id: str, lines: int | None, timeout: float | None
) -> Iterator[str]:
    """Give the lines of a log, without their ends, until the container ends or the time is up.

    Parameters
    ----------
    engine
        Where the container is.
    container_id
        The container.
    lines
        How many of the lines that are there already come first; all by default.
    timeout
        Seconds; ``None`` for no limit but the container's end.
    """
    stream = engine.follow(container_id, lines)
    # Reading blocks while nothing is printed: closing the stream ends it.
    alarm = None if timeout is None else threading.Timer(timeout, stream.close)
    if alarm is not None:
        alarm.daemon = True
        alarm.start()
    rest = b""
    try:
        for chunk in engine.lines_of("follow the log of a container", stream):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
        if rest:
            yield rest.decode(errors="replace")
    finally:
        if alarm is not None:
            alarm.cancel()
        stream.close()
        # That has shut the connection down, and left the file on it to the collector.
        stream._response.close()  # noqa: SLF001 - there is no other way to it
