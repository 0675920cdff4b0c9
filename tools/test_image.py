"""The image of the redis-queue container for tests, made of this checkout on the base image.

It is built by the package's own ``build-image``, of wheels that pip collects on this machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools import base_image

ROOT = Path(__file__).parents[1]
SOURCES = ("packages/core", "packages/redis-queue-container")
WAIT_SECONDS = base_image.BUILD_SECONDS
# Redis needs it on Python before 3.11.3, which Debian 12 has, and pip looks at its own Python.
EXTRA_WHEELS = ("async-timeout>=4.0.3",)
REPOSITORY = "dockerparallel/redis-queue"
LABEL = "dockerparallel.test-image"
PYTHON_LABEL = "dockerparallel.python"


@contextmanager
def redis_queue_image() -> Iterator[str]:
    """Make the image unless it is there, give its name, and remove it when its last user is done.

    Several test processes may use it at a time. The base image stays. Its Python is that of the
    base, which `python_of` tells.

    Raises
    ------
    BaseImageError
        An image could not be made.
    """
    base = base_image.ensure()
    image = f"{REPOSITORY}:test-{sources_digest(base)}"
    # Held by all who use the image, so that none of them removes it under another.
    with base_image.locked(Path(__file__), WAIT_SECONDS, fcntl.LOCK_SH) as in_use:
        with base_image.locked(ROOT / "tools" / "base_image.py", WAIT_SECONDS):
            if not is_there(image):
                _build(image, base)
        try:
            yield image
        finally:
            _remove_unless_used(image, in_use)


@contextmanager
def wheelhouse(*packages: str) -> Iterator[Path]:
    """Give a folder with the wheels of this checkout and of all that it needs, and remove it.

    Parameters
    ----------
    *packages
        What else is wanted, as pip takes it.

    Raises
    ------
    BaseImageError
        Pip could not collect them.
    """
    with tempfile.TemporaryDirectory(prefix="dockerparallel-wheels-") as name:
        pip = (sys.executable, "-m", "pip", "wheel", "--quiet", f"--wheel-dir={name}")
        base_image.run(*pip, *(str(ROOT / source) for source in SOURCES), *EXTRA_WHEELS, *packages)
        yield Path(name)


def python_of(image: str) -> str:
    """Return the minor version of Python of an image that `redis_queue_image` gave: ``"3.11"``."""
    form = f'{{{{index .Config.Labels "{PYTHON_LABEL}"}}}}'
    return base_image.run("docker", "image", "inspect", "--format", form, image).strip()


def sources_digest(base: str) -> str:
    """Return a short digest that changes when the image would; each checkout has its own."""
    recipe = base_image.recipe_of(base)
    digest = hashlib.sha256(f"{ROOT}\0{recipe}\0".encode() + Path(__file__).read_bytes())
    for folder in SOURCES:
        for file in [ROOT / folder / "pyproject.toml", *sorted((ROOT / folder / "src").rglob("*"))]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def is_there(image: str) -> bool:
    """Tell whether the engine has an image."""
    asked = subprocess.run(
        ["docker", "image", "inspect", image],
        capture_output=True,
        timeout=base_image.DOCKER_SECONDS,
        check=False,
    )
    return asked.returncode == 0


def _build(image: str, base: str) -> None:
    # What killed runs have left; an hour is longer than any run.
    old = ("--filter", f"label={LABEL}", "--filter", "until=1h")
    base_image.run("docker", "image", "prune", "--all", "--force", *old)
    python = base_image.python_of(base)
    program = (sys.executable, "-m", "dockerparallel_redis_queue_container", "build-image")
    with wheelhouse() as wheels:
        made_of = (f"--base={base}", f"--python={python}", f"--wheels={wheels}")
        options = (f"--tag={image}", f"--label={LABEL}=redis-queue", *made_of)
        # The builder that every engine has.
        base_image.run("env", "DOCKER_BUILDKIT=0", *program, *options)


def _remove_unless_used(image: str, in_use: int) -> None:
    try:
        base_image.lock(in_use, fcntl.LOCK_EX, 0)
    except base_image.BaseImageError:
        # Another test process uses the image, and removes it afterwards.
        return
    if is_there(image):
        base_image.run("docker", "image", "rm", image)
