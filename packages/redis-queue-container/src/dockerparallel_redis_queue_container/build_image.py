"""The command ``build-image``: build the image by the ``docker`` command line."""

from __future__ import annotations

import argparse
import contextlib
import logging
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from dockerparallel.validation import check_seconds
from dockerparallel_redis_queue_container.errors import ImageBuildError
from dockerparallel_redis_queue_container.image_build import (
    BASE_IMAGE,
    BUILD_LABEL,
    CLIENT_PYTHON,
    DEFAULT_IMAGE,
    WHEELHOUSE,
    ImageBuild,
)

_STOP_SECONDS = 10.0
_PRUNE_SECONDS = 120.0

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command; called by the program's own parser."""
    environment = ImageBuild.from_environment()
    parser.add_argument(
        "--tag", default=DEFAULT_IMAGE, help="name of the image (default: %(default)s)"
    )
    parser.add_argument(
        "--base",
        default=environment.base,
        metavar="IMAGE",
        help=f"image to build on (default: {BASE_IMAGE}, else the official image of Python)",
    )
    parser.add_argument(
        "--python",
        default=CLIENT_PYTHON,
        metavar="X.Y",
        help="minor version of Python of the base; it must be that of the clients "
        "(default: %(default)s, this one)",
    )
    parser.add_argument(
        "--wheels",
        type=Path,
        default=environment.wheels,
        metavar="FOLDER",
        help=f"install everything from these wheels and ask no index (default: {WHEELHOUSE}, "
        "else the versions that are installed here, from the index)",
    )
    parser.add_argument(
        "--package",
        action="append",
        default=[],
        metavar="REQUIREMENT",
        help='install this too, such as "numpy>=2"; may be given again and again',
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="label of the image; may be given again and again",
    )
    parser.add_argument(
        "--context",
        type=Path,
        metavar="FOLDER",
        help="only write what the image is built of into this new folder, and build nothing",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=1800.0,
        metavar="SECONDS",
        help="how long the build may take (default: %(default)g)",
    )


def _seconds(text: str) -> float:
    try:
        return check_seconds("--timeout", float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0") from None


def build_image(options: argparse.Namespace) -> None:
    """Build the image, or only write the build context; called by ``... build-image``.

    Raises
    ------
    ImageBuildError
        There is no ``docker`` command, the context cannot be made, the build failed (Docker has
        printed why), or it took too long.
    """
    build = ImageBuild(options.base, options.wheels, options.package, options.python)
    if options.context is not None:
        _write_only(build, options)
        return
    docker = shutil.which("docker")
    if docker is None:
        raise ImageBuildError(
            "There is no docker command on PATH: install Docker, or write what the image is built "
            "of by --context FOLDER and build it elsewhere."
        )
    with tempfile.TemporaryDirectory(prefix="dockerparallel-image-") as name:
        build.write(Path(name))
        command = _command(docker, build, options, Path(name))
        _log.info("Running: %s", shlex.join(command))
        try:
            _run(command, options.timeout)
        finally:
            _remove_left_overs(docker, build.build_id)
    _log.info("Built %s", options.tag)


def _write_only(build: ImageBuild, options: argparse.Namespace) -> None:
    folder: Path = options.context
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ImageBuildError(f"{folder} is there and not empty: name a new folder (--context).")
    folder.mkdir(parents=True, exist_ok=True)
    build.write(folder)
    _log.info("Build the image by: %s", shlex.join(_command("docker", build, options, folder)))


def _command(
    docker: str, build: ImageBuild, options: argparse.Namespace, folder: Path
) -> list[str]:
    arguments = [f"--build-arg={name}={value}" for name, value in build.arguments().items()]
    labels = [f"--label={label}" for label in options.label]
    # A container that a failed step leaves would keep the image that it was made of.
    start = [docker, "build", "--force-rm", f"--tag={options.tag}"]
    return [*start, *arguments, *labels, str(folder)]


def _run(command: list[str], timeout: float) -> None:
    """Run Docker with its output on ours."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired as error:
        raise ImageBuildError(
            f"The image was not built within {timeout:g} seconds: allow more by --timeout."
        ) from error
    finally:
        # Docker ends the build when its client ends.
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
        if process.poll() is None:
            process.kill()
            process.wait()
    if code != 0:
        raise ImageBuildError(
            f"docker build ended with exit code {code}; the reason stands in its output above."
        )


def _remove_left_overs(docker: str, build_id: str) -> None:
    """Remove the stage that Docker's older builder keeps as an image without a name."""
    command = [docker, "image", "prune", "--force", f"--filter=label={BUILD_LABEL}={build_id}"]
    try:
        subprocess.run(command, capture_output=True, timeout=_PRUNE_SECONDS, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        # The image is there, or its own error tells more.
        _log.warning("What the build has left was not removed: %s", error)
