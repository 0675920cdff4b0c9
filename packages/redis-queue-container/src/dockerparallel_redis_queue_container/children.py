"""What a supervisor knows of each of its workers."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from dockerparallel_redis_queue_container.begun_marker import BegunMarker
from dockerparallel_redis_queue_container.keys import PROTOCOL
from dockerparallel_redis_queue_container.log_tail import LogTail
from dockerparallel_redis_queue_container.memory_limit import over_the_limit
from dockerparallel_redis_queue_container.worker import READY


@dataclass
class Child:
    """A worker process as its supervisor sees it.

    Parameters
    ----------
    worker_id
        The id under which it takes tasks.
    pid
        Its process id.
    link
        Our end of the link, not blocking. The worker ends itself when this closes.
    description
        The JSON text that tells clients of the worker.
    marker
        Where the worker notes which task it runs.
    log_tail
        What keeps the end of the worker's log.
    ready
        Whether the worker has reached the server.
    """

    worker_id: str
    pid: int
    link: socket.socket
    description: str
    marker: BegunMarker
    log_tail: LogTail
    ready: bool = False

    def close(self) -> None:
        """Let go, in this process, of all that is shared with the worker."""
        self.link.close()
        self.marker.close()
        self.log_tail.close()

    def look_for_ready(self) -> bool:
        """Return whether the worker has become ready since the last look."""
        if self.ready:
            return False
        try:
            self.ready = self.link.recv(1) == READY
        except BlockingIOError:
            return False
        except OSError:
            # It has died; waitpid tells.
            return False
        return self.ready


def dead_processes() -> Iterator[tuple[int, int]]:
    """Give the id and the status of each child process that has ended; does not wait."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            # There is no child at all.
            return
        if pid == 0:
            return
        yield pid, status


def ending(code: int, memory_limit: int | None = None) -> str:
    """Describe an exit code, which is negative after a signal, and the limit that led to it."""
    how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    return how if memory_limit is None else f"{how}, {over_the_limit(memory_limit)}"


def new_worker_id() -> str:
    """Return an id that no other worker has: host, supervisor, a random part."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def describe(worker_id: str, pid: int) -> str:
    """Return the JSON text that tells clients who a worker is."""
    return json.dumps(
        {
            "id": worker_id,
            "host": socket.gethostname(),
            "pid": pid,
            "protocol": PROTOCOL,
            "python": ".".join(platform.python_version_tuple()[:2]),
            "packages": {
                name: importlib.metadata.version(name) for name in ("cloudpickle", "joblib")
            },
            "started": time.time(),
        }
    )
