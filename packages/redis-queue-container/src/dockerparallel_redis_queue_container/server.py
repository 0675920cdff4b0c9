"""The server program: becomes a password-protected Redis or Valkey server."""

from __future__ import annotations

import logging
import os

from dockerparallel_redis_queue_container import privileges, settings
from dockerparallel_redis_queue_container.embedded import find_server_program
from dockerparallel_redis_queue_container.errors import SettingsError
from dockerparallel_redis_queue_container.memory_limit import memory_limit
from dockerparallel_redis_queue_container.settings import ServerSettings

# The rest is for connections and what the allocator cannot use.
_SHARE_OF_MEMORY = 0.75

_log = logging.getLogger(__name__)


def configuration(server: ServerSettings) -> str:
    """Return the configuration file of the server, password included.

    The queue lives in memory only, unless there is a folder for its data, and a full memory
    refuses new tasks and drops none.
    """
    limit = memory_limit()
    memory = server.max_memory or (limit and int(limit * _SHARE_OF_MEMORY)) or 0
    lines = [
        f"port {server.port}",
        # "-" lets the server go on where the machine has no address of that family.
        f"bind {server.bind_address or '* -::*'}",
        f"requirepass {_quoted(server.password)}",
        'save ""',
        f"maxmemory {memory}",
        "maxmemory-policy noeviction",
        "tcp-keepalive 30",
        "daemonize no",
    ]
    if server.data_folder is None:
        lines.append("appendonly no")
    else:
        # What it has answered has reached the disk: only then no acknowledged step is ever lost.
        lines += ["appendonly yes", "appendfsync always", f"dir {_quoted(str(server.data_folder))}"]
    return "\n".join(lines) + "\n"


def run_server() -> None:
    """Replace this process by the server; called by ``python -m ... server``, never returns.

    The configuration goes in by standard input, so that no command line and no file shows the
    password.

    Raises
    ------
    SettingsError
        A setting is missing or cannot be used, or the folder for data cannot be written; a server
        without a password is never started.
    ServerBinaryNotFoundError
        There is no server program on this machine.
    """
    # All that only root may read is read first.
    server = ServerSettings.from_environment()
    program = find_server_program()
    privileges.drop()
    folder = server.data_folder
    if folder is not None and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise SettingsError(
            f"{settings.DATA_FOLDER}={str(folder)!r} is no folder that the server can write. Make "
            "it, and give it to the user that the server runs as, or leave the variable out."
        )
    _log.info("Starting %s on port %d", program, server.port)
    reader, writer = os.pipe()
    # It fits into the pipe: a few hundred bytes, of at least 4096 that POSIX promises.
    os.write(writer, configuration(server).encode())
    os.close(writer)
    os.dup2(reader, 0)
    os.close(reader)
    environment = {name: text for name, text in os.environ.items() if name != settings.PASSWORD}
    os.execve(program, [str(program), "-"], environment)  # noqa: S606  # no shell is wanted


def _quoted(text: str) -> str:
    """Write a value as the configuration file quotes it, line breaks included."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return f'"{text}"'
