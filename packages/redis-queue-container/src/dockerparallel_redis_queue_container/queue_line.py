"""The way to one job queue: names of its keys, commands, scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import redis
from redis.exceptions import NoScriptError

from dockerparallel_redis_queue_container.hot_line import HotLine
from dockerparallel_redis_queue_container.keys import key_prefix
from dockerparallel_redis_queue_container.scripts import DIGESTS
from dockerparallel_redis_queue_container.settings import QueueSettings


@dataclass(frozen=True)
class QueueLine:
    """One job queue on a server, and a connection to it that is kept. Thread-safe.

    Parameters
    ----------
    connection
        Made by :func:`~dockerparallel_redis_queue_container.connection.connect`.
    job_queue_name
        Name of the cluster's queue.
    settings
        Times and limits; the same for clients and workers of a cluster.
    """

    connection: redis.Redis
    job_queue_name: str
    settings: QueueSettings
    _line: HotLine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_line", HotLine(self.connection))

    def interrupt(self) -> None:
        """Fail the commands that wait for the server, and all later ones; from any thread."""
        self._line.interrupt()

    def close(self) -> None:
        """Close the connections."""
        self._line.close()
        self.connection.close()

    def key(self, name: str) -> str:
        """Return the whole name of a key of this queue."""
        return key_prefix(self.job_queue_name) + name

    def command(self, *parts: Any) -> Any:
        """Send one command; see :meth:`HotLine.command`."""
        return self._line.command(*parts)

    def script(self, text: str, *arguments: Any) -> Any:
        """Run one of the scripts, which the server need not know yet."""
        prefix = key_prefix(self.job_queue_name)
        try:
            return self.command("EVALSHA", DIGESTS[text], 1, prefix, *arguments)
        except NoScriptError:
            # The server is new, or was restarted: it learns the script and runs it.
            return self.command("EVAL", text, 1, prefix, *arguments)
