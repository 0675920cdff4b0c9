"""Tell whether a container of this image does its work: exit code 0 if so, else 1 and the reason.

Docker runs it again and again, by ``python -I -S`` and in a process of its own, so it imports
neither the package nor anything else that takes time. A server (it is told a port to listen on)
must answer; the supervisor of workers must have reached the server within the lease.
"""

from __future__ import annotations

import os
import sys

PORT = "DOCKERPARALLEL_REDIS_PORT"
BIND_ADDRESS = "DOCKERPARALLEL_BIND_ADDRESS"
HEARTBEAT_FILE = "DOCKERPARALLEL_HEARTBEAT_FILE"
LEASE = "DOCKERPARALLEL_LEASE_SECONDS"
DEFAULT_LEASE = 10.0
ANSWER_SECONDS = 3.0


def problem() -> str | None:
    """Return what is wrong, or None."""
    if PORT in os.environ:
        return server_problem(os.environ.get(BIND_ADDRESS) or "127.0.0.1", os.environ[PORT])
    return worker_problem(os.environ.get(HEARTBEAT_FILE), os.environ.get(LEASE))


def server_problem(host: str, port: str) -> str | None:
    """Ask the server at an address; a demand for the password is an answer as well."""
    import socket  # noqa: PLC0415  # a check of workers is quicker without

    try:
        with socket.create_connection((host, int(port)), ANSWER_SECONDS) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
    except (OSError, ValueError) as error:
        return f"The server at {host}:{port} does not answer: {error}"
    if answer.startswith((b"+PONG", b"-NOAUTH")):
        return None
    return f"The server at {host}:{port} answers {answer!r}"


def worker_problem(file: str | None, lease: str | None) -> str | None:
    """Look how long ago the server took the last heartbeat."""
    import time  # noqa: PLC0415  # as above

    if not file:
        return f"The variable {HEARTBEAT_FILE} does not name the file to look at"
    try:
        age = time.time() - os.stat(file).st_mtime  # noqa: PTH116  # pathlib takes longer to load
    except OSError as error:
        return f"The workers have not reached the server yet: {error}"
    try:
        limit = float(lease or DEFAULT_LEASE)
    except ValueError:
        # The supervisor has refused it, and says so in its log.
        limit = DEFAULT_LEASE
    if age <= limit:
        return None
    return f"The server took the last heartbeat {age:.1f} seconds ago, more than {limit:g}"


def main() -> int:
    """Print what is wrong, and return the exit code."""
    if sys.argv[1:]:
        print(__doc__)  # noqa: T201  # Docker keeps what it prints
        return 0
    found = problem()
    if found is not None:
        print(found)  # noqa: T201  # Docker keeps what it prints
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
