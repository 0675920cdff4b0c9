"""Giving the engine the images that containers run: built where they can be, else pulled."""

from __future__ import annotations

import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, ImageNotFound, NotFound

from dockerparallel_local_docker_provider import labels
from dockerparallel_local_docker_provider.engine import Engine
from dockerparallel_local_docker_provider.engine_errors import translated
from dockerparallel_local_docker_provider.errors import (
    EngineError,
    EngineTimeoutError,
    ImageUnavailableError,
)

if TYPE_CHECKING:
    from dockerparallel import DockerContainer
    from dockerparallel.log import ClusterLogger

_CONFLICT = 409
_STAGE_LABEL = "dockerparallel.build"
_LAST_LINES = 15
_TELL_SECONDS = 10.0


def image_user(engine: Engine, image: str) -> str | None:
    """Return the user that an image runs as, empty for root; ``None`` where it is not there."""
    with translated(engine.address, f"look for the image {image}", engine.timeout):
        try:
            about = engine.api.inspect_image(image)
        except (ImageNotFound, NotFound):
            return None
    return str((about.get("Config") or {}).get("User") or "")


def ensure_image(
    engine: Engine, container: DockerContainer, logger: ClusterLogger, timeout: float
) -> str:
    """Make sure that the engine has the image of a container, and return the user it runs as.

    Where it is missing, it is built if the container says of what (``write_build_context``), else
    pulled. Says which, and how it goes on.

    Raises
    ------
    ImageUnavailableError
        It can be neither built nor pulled; the message holds the end of what the engine said.
    EngineTimeoutError
        That took longer than ``timeout`` seconds.
    """
    image = container.image
    user = image_user(engine, image)
    if user is None:
        with tempfile.TemporaryDirectory(prefix="dockerparallel-image-") as name:
            arguments = container.write_build_context(Path(name))
            if arguments is not None:
                logger.info("The engine has no image %s: building it.", image)
                try:
                    _build(engine, image, Path(name), arguments, logger, timeout)
                except EngineTimeoutError as error:
                    # Also where it has printed nothing for so long.
                    raise _too_slow(f"build the image {image}", timeout) from error
                except EngineError as error:
                    if type(error) is not EngineError:
                        raise
                    raise ImageUnavailableError(_not_to_be_had(image, str(error))) from error
            else:
                logger.info("The engine has no image %s: pulling it.", image)
                _pull(engine, image, logger, timeout)
        user = image_user(engine, image)
    if user is None:
        raise ImageUnavailableError(
            f"The Docker engine at {engine.address} has no image {image!r}, although it was just "
            "made: see whether another program removes images there."
        )
    return user


def remove_built_image(engine: Engine, image: str, logger: ClusterLogger) -> None:
    """Remove an image that the provider has built on demand; others are left alone. Idempotent.

    One that a container uses stays, with a warning.
    """
    with translated(engine.address, f"remove the image {image}", engine.timeout):
        try:
            about = engine.api.inspect_image(image)
        except (ImageNotFound, NotFound):
            return
        # An image that was made from this one has the label too, but not the name in it.
        if ((about.get("Config") or {}).get("Labels") or {}).get(labels.BUILT) != image:
            return
        try:
            engine.api.remove_image(image)
        except (ImageNotFound, NotFound):
            # Another session was faster.
            return
        except APIError as error:
            if error.status_code != _CONFLICT:
                raise
            logger.warning("The image %s stays: a container uses it.", image)


def _build(
    engine: Engine,
    image: str,
    folder: Path,
    arguments: dict[str, str],
    logger: ClusterLogger,
    timeout: float,
) -> None:
    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w") as packed:
            packed.add(folder, arcname=".")
        context.seek(0)
        doing = f"build the image {image}"
        with translated(engine.address, doing, engine.timeout):
            stream = engine.api.build(
                fileobj=context,
                custom_context=True,
                tag=image,
                buildargs=arguments,
                labels={labels.BUILT: image},
                rm=True,
                forcerm=True,
                decode=True,
                # Between two lines that the build prints: a step may be silent for long.
                timeout=timeout,
            )
        try:
            _watch(engine, doing, stream, logger, timeout)
        finally:
            _remove_stages(engine, arguments.get("BUILD_ID"))


def _remove_stages(engine: Engine, build_id: str | None) -> None:
    """Remove what the stages of a build have left; see ``write_build_context``."""
    if build_id is not None:
        filters = {"dangling": True, "label": f"{_STAGE_LABEL}={build_id}"}
        with translated(engine.address, "remove what a build has left", engine.timeout):
            engine.api.prune_images(filters=filters)


def _pull(engine: Engine, image: str, logger: ClusterLogger, timeout: float) -> None:
    doing = f"pull the image {image}"
    try:
        with translated(engine.address, doing, engine.timeout):
            stream = engine.api.pull(image, stream=True, decode=True)
        _watch(engine, doing, stream, logger, timeout)
    except (EngineTimeoutError, ImageUnavailableError):
        raise
    except EngineError as error:
        raise ImageUnavailableError(_not_to_be_had(image, str(error))) from error


def _watch(
    engine: Engine, doing: str, stream: Iterator[Any], logger: ClusterLogger, timeout: float
) -> None:
    """Read what the engine tells of a build or pull, to the end."""
    deadline = time.monotonic() + timeout
    next_word = time.monotonic() + _TELL_SECONDS
    lines: list[str] = []
    for message in engine.lines_of(doing, stream):
        line = str(message.get("stream") or message.get("status") or "").strip()
        if line:
            lines = [*lines[-_LAST_LINES:], line]
            logger.debug("%s", line)
        if "error" in message:
            end = "\n".join(f"    {text}" for text in lines)
            raise ImageUnavailableError(
                _not_to_be_had(doing.rpartition(" ")[2], f"{message['error']}\n{end}")
            )
        if time.monotonic() > next_word:
            logger.info("Still at it (%s): %s", doing, lines[-1] if lines else "no word yet")
            next_word = time.monotonic() + _TELL_SECONDS
        if time.monotonic() > deadline:
            raise _too_slow(doing, timeout)


def _too_slow(doing: str, timeout: float) -> EngineTimeoutError:
    return EngineTimeoutError(
        f"The Docker engine did not {doing} within {timeout:g} s: pass a larger image_timeout= to "
        "LocalDockerProvider, or do it by hand before the start."
    )


def _not_to_be_had(image: str, reason: str) -> str:
    return (
        f"The image {image!r} is neither on the Docker engine nor to be had: {reason.strip()}\n"
        "Check its name, log in to its registry (docker login), or build it on the engine; for "
        "the image of redis-queue: python -m dockerparallel_redis_queue_container build-image."
    )
