"""Run a command on the Fargate harness, with the image of the redis-queue container.

``python -m tools.with_fargate_harness COMMAND ...``: in the words of the command ``{image}`` is the
name of the image, which is made where it is missing, and ``{host}`` the address at which containers
reach this machine. Boto3 and the provider find the harness by the environment. Without an engine,
or where no image can be made, it says so and does not run the command: exit code 0, or 1 where
``DOCKERPARALLEL_REQUIRE_DOCKER=1``.

Where ``DOCKERPARALLEL_AWS=1`` the command runs on AWS itself, with the credentials of the
environment; the image is then that of ``DOCKERPARALLEL_AWS_IMAGE``, which the account must be able
to pull, and the host ``DOCKERPARALLEL_AWS_HOST``, which its tasks must be able to reach.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tools import base_image, with_own_image
from tools.docker_engine import REQUIRE_VARIABLE
from tools.test_image import redis_queue_image

AWS_VARIABLE = "DOCKERPARALLEL_AWS"
IMAGE_VARIABLE = "DOCKERPARALLEL_AWS_IMAGE"
HOST_VARIABLE = "DOCKERPARALLEL_AWS_HOST"
# Workers reach the suite's own external server on this machine, and package indexes.
HARNESS = (sys.executable, "-m", "dockerparallel_fargate_harness", "run", "--internet", "--")


def main(command: list[str]) -> int:
    """Run the command; return its exit code."""
    if os.environ.get(AWS_VARIABLE) == "1":
        image = os.environ.get(IMAGE_VARIABLE)
        if not image:
            print(f"with_fargate_harness: {IMAGE_VARIABLE} names no image that AWS can pull")
            return 1
        host = os.environ.get(HOST_VARIABLE, "")
        return subprocess.run(filled_in(command, image, host), check=False).returncode
    reason = with_own_image.reason_to_skip()
    if reason is not None:
        print(f"with_fargate_harness: {' '.join(command)} is skipped: {reason}", flush=True)
        return int(os.environ.get(REQUIRE_VARIABLE) == "1")
    with redis_queue_image() as image:
        words = filled_in(command, image, bridge_gateway())
        # No limit of time: the command has its own.
        return subprocess.run([*HARNESS, *words], check=False).returncode


def filled_in(command: list[str], image: str, host: str) -> list[str]:
    """Return the words of a command with what they stand for."""
    return [word.replace("{image}", image).replace("{host}", host) for word in command]


def bridge_gateway() -> str:
    """Return the address of this machine on the engine's default network."""
    form = "{{(index .IPAM.Config 0).Gateway}}"
    return base_image.run("docker", "network", "inspect", "--format", form, "bridge").strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
