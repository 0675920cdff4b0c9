"""What the image of the redis-queue container runs.

``python -m dockerparallel_redis_queue_container server`` becomes the server of the queue, and
``... worker`` runs one supervisor with its worker processes. Both are told everything by
environment variables (see ``settings.py``) and log to standard error. ``... build-image`` builds
that image.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from dockerparallel.errors import DockerParallelError
from dockerparallel_redis_queue_container._version import __version__
from dockerparallel_redis_queue_container.build_image import add_arguments, build_image
from dockerparallel_redis_queue_container.logs import configure_logging

_PROGRAM = "python -m dockerparallel_redis_queue_container"
_log = logging.getLogger("dockerparallel_redis_queue_container")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and return the exit code: 0, or 1 after an error."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Run a part of a DockerParallel redis-queue cluster. Settings are read from "
        "environment variables, which the cluster gives to its containers.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    roles = parser.add_subparsers(dest="role", required=True, metavar="{server,worker,build-image}")
    roles.add_parser("server", help="become the password-protected Redis or Valkey server")
    roles.add_parser("worker", help="run a supervisor and its worker processes")
    about = "build the image that runs the two others"
    add_arguments(roles.add_parser("build-image", help=about, description=f"{about}."))
    options = parser.parse_args(arguments)
    role = options.role
    configure_logging(role)
    # Somebody waits for the program, so it imports what its own role needs.
    try:
        if role == "build-image":
            build_image(options)
            return 0
        if role == "server":
            from dockerparallel_redis_queue_container.server import run_server  # noqa: PLC0415

            run_server()
        from dockerparallel_redis_queue_container.supervisor import run_supervisor  # noqa: PLC0415

        return run_supervisor()
    except (DockerParallelError, OSError) as error:
        _log.error("The %s cannot run: %s", role, error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
