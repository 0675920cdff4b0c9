"""A small image of the redis-queue server for tests, made of this checkout on the base image."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools import base_image
from tools.docker_engine import REQUIRE_VARIABLE

ROOT = Path(__file__).parents[2]
SOURCES = ("packages/core", "packages/redis-queue-container")
WAIT_SECONDS = base_image.BUILD_SECONDS
# Redis needs it on Python before 3.11.3, which Debian 12 has, and pip looks at its own Python.
EXTRA_WHEELS = ("async-timeout>=4.0.3",)
LABEL = "dockerparallel.test-image"
# Root in no container that can do without.
DOCKERFILE = f"""\
FROM {{base}}
COPY wheelhouse /wheelhouse
RUN python3 -m venv /opt/dockerparallel \\
 && /opt/dockerparallel/bin/pip install --no-cache-dir --no-index --find-links=/wheelhouse \\
    dockerparallel-redis-queue-container \\
 && rm -r /wheelhouse
ENV PATH=/opt/dockerparallel/bin:$PATH
LABEL {LABEL}=redis-queue
USER 1000:1000
ENTRYPOINT ["tini", "--"]
"""


@contextmanager
def server_image() -> Iterator[str]:
    """Make the image unless it is there, and remove it when its last user is done.

    Several test processes may use it at a time. The base image stays.

    Raises
    ------
    BaseImageError
        An image could not be made.
    """
    base = base_image.ensure()
    image = f"dockerparallel-test-redis-queue:{_digest(base)}"
    # Held by all who use the image, so that none of them removes it under another.
    with base_image.locked(Path(__file__), WAIT_SECONDS, fcntl.LOCK_SH) as in_use:
        with base_image.locked(ROOT / "tools" / "base_image.py", WAIT_SECONDS):
            if not _is_there(image):
                _build(image, base)
        try:
            yield image
        finally:
            _remove_unless_used(image, in_use)


@pytest.fixture(scope="session")
def redis_queue_image() -> Iterator[str]:
    """Give the image of the redis-queue server, for tests marked ``docker``.

    To make the base image takes a minute, so mark them with a longer timeout too.
    """
    reason = base_image.reason_to_skip()
    if reason is not None and os.environ.get(REQUIRE_VARIABLE) == "1":
        pytest.fail(f"{reason}, and {REQUIRE_VARIABLE}=1", pytrace=False)
    if reason is not None:
        pytest.skip(reason)
    with server_image() as image:
        yield image


def _digest(base: str) -> str:
    """Return a short digest that changes when the image would; each checkout has its own."""
    digest = hashlib.sha256(f"{ROOT}\0{DOCKERFILE}\0{base_image.recipe_of(base)}".encode())
    for folder in SOURCES:
        for file in [ROOT / folder / "pyproject.toml", *sorted((ROOT / folder / "src").rglob("*"))]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _is_there(image: str) -> bool:
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
    with tempfile.TemporaryDirectory(prefix="dockerparallel-image-") as folder:
        wheel = (
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            f"--wheel-dir={folder}/wheelhouse",
        )
        base_image.run(*wheel, *(str(ROOT / source) for source in SOURCES), *EXTRA_WHEELS)
        Path(folder, "Dockerfile").write_text(DOCKERFILE.format(base=base))
        # The builder that every engine has.
        base_image.run("env", "DOCKER_BUILDKIT=0", "docker", "build", "--tag", image, folder)


def _remove_unless_used(image: str, in_use: int) -> None:
    try:
        base_image.lock(in_use, fcntl.LOCK_EX, 0)
    except base_image.BaseImageError:
        # Another test process uses the image, and removes it afterwards.
        return
    if _is_there(image):
        base_image.run("docker", "image", "rm", image)
