"""Make the image of the demonstration in containers, which has scikit-learn, and print its name.

Where this machine can make the tests' base image, that is built on, and all packages come from
wheels that pip collects here: no image registry is asked, and no index from inside a container.
Elsewhere the official image of Python is built on. The image stays for the next run, until the
checkout changes.
"""

from __future__ import annotations

import contextlib
import io
import sys

import sklearn

from dockerparallel_redis_queue_container.image_build import CLIENT_PYTHON, REPOSITORY
from tools import base_image
from tools.docker_engine import engine_answers
from tools.test_image import is_there, sources_digest, wheelhouse

LABEL = "dockerparallel.demo-image"
SKLEARN = f"scikit-learn=={sklearn.__version__}"
PROGRAM = (sys.executable, "-m", "dockerparallel_redis_queue_container", "build-image")


def ensure() -> str:
    """Make the image unless it is there, and return its name.

    Raises
    ------
    BaseImageError
        It cannot be made.
    """
    official = base_image.reason_to_skip() is not None
    base = "" if official else base_image.ensure()
    image = f"{REPOSITORY}:demo-{sources_digest(base)}-{sklearn.__version__}"
    if is_there(image):
        return image
    # Those of earlier checkouts.
    old = ("--filter", f"label={LABEL}")
    base_image.run("docker", "image", "prune", "--all", "--force", *old)
    made_of = [f"--tag={image}", f"--label={LABEL}=digits", f"--package={SKLEARN}"]
    if official:
        base_image.run(*PROGRAM, *made_of)
        return image
    python = base_image.python_of(base)
    if python != CLIENT_PYTHON:
        raise base_image.BaseImageError(
            f"the base image has Python {python}, and this is {CLIENT_PYTHON}: run the "
            f"demonstration with Python {python}, or build an image by build-image and pass it as "
            "--image"
        )
    with wheelhouse(SKLEARN) as wheels:
        base_image.run(*PROGRAM, *made_of, f"--base={base}", f"--wheels={wheels}")
    return image


def main() -> int:
    """Print the name of the image as the last line; return the exit code."""
    if not engine_answers():
        print("demo_image: no Docker engine answers (nox -s docker_engine starts one on Debian)")
        return 1
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            image = ensure()
    except base_image.BaseImageError as error:
        print(f"{said.getvalue()}demo_image: {error}")
        return 1
    print(image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
