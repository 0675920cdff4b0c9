"""Run a command that needs the redis-queue image, where no image registry can be reached.

``python -m tools.with_own_image COMMAND ...`` makes the tests' base image and a folder of wheels,
and names them to the command by the variables that every build of the image honours: what is
missing on the engine is then built of them at the first start. The image of this version is removed
afterwards, unless it was there before. Without an engine, or where no base can be made, it says so
and does not run the command: exit code 0, or 1 where ``DOCKERPARALLEL_REQUIRE_DOCKER=1``.
"""

from __future__ import annotations

import os
import subprocess
import sys

from dockerparallel_redis_queue_container.image_build import (
    BASE_IMAGE,
    CLIENT_PYTHON,
    DEFAULT_IMAGE,
    WHEELHOUSE,
)
from tools import base_image
from tools.docker_engine import REQUIRE_VARIABLE, engine_answers
from tools.test_image import is_there, wheelhouse


def main(command: list[str]) -> int:
    """Run the command; return its exit code."""
    reason = reason_to_skip()
    if reason is not None:
        print(f"with_own_image: {' '.join(command)} is skipped: {reason}", flush=True)
        return int(os.environ.get(REQUIRE_VARIABLE) == "1")
    was_there = is_there(DEFAULT_IMAGE)
    with wheelhouse() as wheels:
        environment = {**os.environ, BASE_IMAGE: base_image.ensure(), WHEELHOUSE: str(wheels)}
        try:
            # No limit of time: the command has its own.
            return subprocess.run(command, env=environment, check=False).returncode
        finally:
            if not was_there and is_there(DEFAULT_IMAGE):
                base_image.run("docker", "image", "rm", DEFAULT_IMAGE)


def reason_to_skip() -> str | None:
    """Say why no image can be made for the Python that runs this, or None where one can."""
    if not engine_answers():
        return "no Docker engine answers (nox -s docker_engine starts one on Debian, as root)"
    reason = base_image.reason_to_skip()
    if reason is not None:
        return reason
    python = base_image.python_of(base_image.ensure())
    if python != CLIENT_PYTHON:
        return f"the base image has Python {python}, and this is {CLIENT_PYTHON}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
