"""Turns what Docker's library raises into errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from docker.errors import APIError, DockerException
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import RequestException
from requests.exceptions import Timeout as RequestsTimeout
from urllib3.exceptions import HTTPError

from dockerparallel_local_docker_provider.engine_address import EngineAddress
from dockerparallel_local_docker_provider.errors import (
    EngineError,
    EnginePermissionError,
    EngineTimeoutError,
    EngineUnreachableError,
    NetworkPoolError,
    PortTakenError,
)

_PORT_WORDS = ("port is already allocated", "address already in use")
_POOL_WORDS = ("non-overlapping ipv4 address pool", "all predefined address pools")
_MEMORY_WORDS = ("cannot allocate memory", "out of memory")


@contextmanager
def translated(address: EngineAddress, doing: str, timeout: float) -> Iterator[None]:
    """Turn the errors of the block into ours.

    Parameters
    ----------
    address
        The engine that is asked.
    doing
        What it is asked for, such as ``"start the container dockerparallel-x-server"``.
    timeout
        Seconds that one answer may take, for the message.

    Raises
    ------
    EngineError
        Or one of its children, whichever fits.
    """
    try:
        yield
    except APIError as error:
        raise _refusal(address, doing, error) from error
    except (RequestsTimeout, TimeoutError) as error:
        raise EngineTimeoutError(
            f"The Docker engine at {address} did not answer within {timeout:g} s when asked to "
            f"{doing}: see whether it hangs (docker info), or pass a larger engine_timeout= to "
            "LocalDockerProvider."
        ) from error
    except (
        RequestsConnectionError,
        RequestException,
        HTTPError,
        DockerException,
        OSError,
    ) as error:
        raise _unreachable(address, doing, error) from error


def _unreachable(address: EngineAddress, doing: str, error: Exception) -> EngineError:
    text = _chain(error)
    if "timed out" in text.lower():
        return EngineTimeoutError(
            f"The Docker engine at {address} did not answer in time when asked to {doing}: {text}."
        )
    if "permission denied" in text.lower() and not address.is_ssh:
        return EnginePermissionError(
            f"This user may not use the Docker engine at {address}: join the group docker "
            "(sudo usermod -aG docker $USER, then log in again), or run a rootless engine and "
            "point DOCKER_HOST at it."
        )
    advice = (
        "see that 'ssh' logs in there without asking, and that 'docker info' works on that host"
        if address.is_ssh
        else "start it (sudo systemctl start docker, or Docker Desktop), or set DOCKER_HOST or a "
        "docker context to one that runs"
    )
    return EngineUnreachableError(
        f"No Docker engine answers at {address} when asked to {doing} ({text}): {advice}."
    )


def _refusal(address: EngineAddress, doing: str, error: APIError) -> EngineError:
    words = str(error.explanation or error)
    lower = words.lower()
    message = f"The Docker engine at {address} could not {doing}: {words.strip()}"
    if any(part in lower for part in _PORT_WORDS):
        return PortTakenError(
            f"{message}. Another program has that port: free it, or let the engine choose one "
            "(host_port=None of LocalDockerProvider)."
        )
    if any(part in lower for part in _POOL_WORDS):
        return NetworkPoolError(
            f"{message}. Every cluster has a network of its own: remove those that nobody uses "
            "(docker network prune), or give the engine more default-address-pools."
        )
    if any(part in lower for part in _MEMORY_WORDS):
        return EngineError(
            f"{message}. Its machine has no memory left: ask for fewer workers, or stop others."
        )
    return EngineError(message)


def _chain(error: BaseException) -> str:
    """Return the text of the innermost error, which says what really went wrong."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = error.__cause__ or error.__context__
        if inner is None:
            break
        error = inner
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
