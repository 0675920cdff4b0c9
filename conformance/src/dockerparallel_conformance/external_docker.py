"""An external server in a container of this machine's Docker engine, by testcontainers.

Testcontainers and Docker's library are imported when they are needed: that is slow.
"""

from __future__ import annotations

import importlib
import platform
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from dockerparallel import DockerContainer, DockerParallelError
from dockerparallel.environment import DEFAULT_SECRETS_DIR, SECRETS_DIR_VARIABLE
from dockerparallel_conformance.external_waiting import (
    ExternalServerError,
    log_end,
    private_folder,
    wait_until_it_listens,
    write_secrets,
)

LABEL = "dockerparallel.conformance"
"""Label of each container that the suite starts itself, with a value of its own."""

_DEFAULT_ENGINE = "unix:///var/run/docker.sock"
_ENGINE_SECONDS = 60

# In a process of its own, since Docker's library cannot be told to stop pulling.
_PULL = """
import sys
from testcontainers.core.docker_client import DockerClient
try:
    DockerClient().client.images.pull(sys.argv[1])
except Exception as error:
    sys.exit(str(getattr(error, "explanation", None) or error))
"""


class NoDockerError(DockerParallelError, RuntimeError):
    """The server cannot run in Docker here; the message is a clause that says why."""


@contextmanager
def server_in_docker(
    container: DockerContainer, port: int, timeout: float, host: str
) -> Iterator[int]:
    """Run a configured server for the block; gives the port of `host` where it is published.

    The container has the label :data:`LABEL`, and is removed in every case but one: where this
    process is killed. Testcontainers' own reaper is not used, as its image may not be to be had.

    Raises
    ------
    NoDockerError
        No engine of this machine answers, or it has no such image and cannot pull it. Nothing was
        started.
    ExternalServerError
        The engine cannot run the container, or it ended before it listened.
    WaitTimeoutError
        It did not listen on ``port`` in time.
    """
    errors: Any = importlib.import_module("docker.errors")
    runner = _runner(container.image, errors.DockerException)
    client = runner.get_docker_client().client
    with ExitStack() as cleaning:
        cleaning.callback(client.close)
        _check_that_the_engine_is_here(client)
        _have_image(client, runner.image, errors.ImageNotFound, timeout)
        folder = cleaning.enter_context(private_folder())
        mark = secrets.token_hex(8)
        # Before the folder goes, which the container has mounted.
        cleaning.callback(_remove, client, mark)
        mounted = write_secrets(folder, container.secrets)
        runner.with_volume_mapping(mounted, DEFAULT_SECRETS_DIR, "ro,z")
        runner.env = container.environment | {SECRETS_DIR_VARIABLE: DEFAULT_SECRETS_DIR}
        runner.ports = {f"{port}/tcp": (host, None)}
        runner.with_kwargs(labels={LABEL: mark})
        if container.command is not None:
            runner.with_command(container.command)
        try:
            _start(runner)
            published = _wait(runner, container, port, timeout, host)
        except errors.DockerException as error:
            raise ExternalServerError(
                f"The Docker engine could not run the image {container.image!r} of the external "
                f"server: {error}"
            ) from error
        yield published


def _runner(image: str, no_engine: type[Exception]) -> Any:
    """Return testcontainers' container, not started; its types forbid a port of loopback alone."""
    from testcontainers.core.container import DockerContainer as Runner  # noqa: PLC0415 - slow
    from testcontainers.core.docker_client import get_docker_host  # noqa: PLC0415 - slow

    host = get_docker_host() or _DEFAULT_ENGINE
    scheme, _, path = host.partition("://")
    if scheme not in {"unix", "http+unix"}:
        # Neither its loopback nor its files need be ours.
        raise NoDockerError(f"the Docker engine {host} may be another machine's")
    try:
        # Docker's library leaves its socket open where nobody answers.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
        return Runner(image, docker_client_kw={"timeout": _ENGINE_SECONDS})
    except (OSError, no_engine) as error:
        raise NoDockerError(f"no Docker engine answers at {host} ({_one_line(error)})") from error


def _check_that_the_engine_is_here(client: Any) -> None:
    """Refuse the engine of the machine around a container in which this runs."""
    from testcontainers.core.utils import inside_container  # noqa: PLC0415 - slow

    if inside_container() and client.info()["Name"] != platform.node():
        raise NoDockerError("the Docker engine is outside the container that this runs in")


def _have_image(client: Any, image: str, missing: type[Exception], timeout: float) -> None:
    """Pull the image where it is not there and has the name of one that could be pulled."""
    try:
        client.images.get(image)
    except missing as error:
        absent = f"this machine's Docker engine has no image {image!r}"
        if image.startswith("sha256:") or not {"/", ":"} & set(image):
            raise NoDockerError(f"{absent}, which is no name to pull by") from error
    else:
        return
    try:
        pulled = subprocess.run(
            [sys.executable, "-c", _PULL, image],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NoDockerError(f"{absent}, and pulls none within {timeout:g} seconds") from error
    if pulled.returncode != 0:
        raise NoDockerError(f"{absent}, and cannot pull it ({_one_line(pulled.stderr)})")


def _start(runner: Any) -> None:
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415 - slow

    # The user's own tests may want the reaper.
    before = testcontainers_config.ryuk_disabled
    testcontainers_config.ryuk_disabled = True
    try:
        runner.start()
    finally:
        testcontainers_config.ryuk_disabled = before


def _wait(runner: Any, container: DockerContainer, port: int, timeout: float, host: str) -> int:
    started = runner.get_wrapped_container()

    def published() -> int | None:
        started.reload()
        bindings = started.attrs["NetworkSettings"]["Ports"].get(f"{port}/tcp")
        return int(bindings[0]["HostPort"]) if bindings else None

    def how_it_ended() -> str | None:
        started.reload()
        state = started.attrs["State"]
        if state["Status"] not in {"exited", "dead"}:
            return None
        return f"(image {container.image!r}) ended with exit code {state['ExitCode']}"

    def tell() -> str:
        return log_end(started.logs().decode(errors="replace"), container.secrets)

    return wait_until_it_listens(published, how_it_ended, tell, timeout, host)


def _remove(client: Any, mark: str) -> None:
    """Remove what has the mark: also a container that was made and could not be started."""
    marked = {"label": f"{LABEL}={mark}"}
    for left in client.containers.list(all=True, filters=marked, ignore_removed=True):
        left.remove(force=True, v=True)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
