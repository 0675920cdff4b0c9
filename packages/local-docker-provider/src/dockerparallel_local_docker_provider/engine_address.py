"""Which Docker engine to use, found as the ``docker`` command finds it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from docker.constants import DEFAULT_UNIX_SOCKET
from docker.context import ContextAPI
from docker.context.config import METAFILE, get_current_context_name, get_meta_dir
from docker.errors import TLSParameterError
from docker.tls import TLSConfig
from docker.utils.config import find_config_file

from dockerparallel import InvalidValueError

_SCHEMES = ("unix", "ssh", "tcp", "http", "https", "http+unix", "npipe")
_LOCAL_SCHEMES = frozenset({"unix", "http+unix", "npipe"})


@dataclass(frozen=True)
class EngineAddress:
    """Where an engine answers, and how to talk to it.

    Parameters
    ----------
    url
        Such as ``unix:///var/run/docker.sock``, ``tcp://host:2376`` or ``ssh://user@host``.
    tls
        Certificates for a ``tcp`` engine, or ``None`` where it has none.
    origin
        What named this engine, for messages.
    """

    url: str
    tls: TLSConfig | None
    origin: str

    @property
    def scheme(self) -> str:
        """The part before ``://``."""
        return urlsplit(self.url).scheme

    @property
    def is_local(self) -> bool:
        """Whether the engine answers on a socket of this machine, and not over a network."""
        return self.scheme in _LOCAL_SCHEMES

    @property
    def is_ssh(self) -> bool:
        """Whether the engine is reached by ssh."""
        return self.scheme == "ssh"

    @property
    def loopback_is_reached(self) -> bool:
        """Whether this session reaches what is published on the loopback of the engine's machine.

        On a socket's or a forward's engine it does; a ``tcp`` engine may be anywhere.
        """
        host = urlsplit(self.url).hostname or ""
        return self.is_local or self.is_ssh or host == "localhost" or host.startswith("127.")

    def __str__(self) -> str:
        """Show the address and what named it."""
        return f"{self.url} ({self.origin})"


def find_engine(docker_host: str | None, context: str | None) -> EngineAddress:
    """Return the engine to use: the first of these that is set.

    The arguments, ``DOCKER_HOST`` (with ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH``),
    ``DOCKER_CONTEXT``, the current context of the ``docker`` command, the default socket. This is
    the order of the ``docker`` command itself (its reference page, "Environment variables").

    Raises
    ------
    InvalidValueError
        An address is none, there is no context of that name, or its files, or the certificates,
        cannot be used.
    """
    if docker_host is not None:
        return _of_host(docker_host, "docker_host=")
    if context is not None:
        return _of_context(context, "context=")
    host = os.environ.get("DOCKER_HOST")
    if host:
        return _of_host(host, "DOCKER_HOST")
    name = os.environ.get("DOCKER_CONTEXT")
    if name:
        return _of_context(name, "DOCKER_CONTEXT")
    return _of_context(get_current_context_name(), "the current context of the docker command")


def _of_host(url: str, origin: str) -> EngineAddress:
    scheme, separator, rest = url.partition("://")
    if not (separator and rest) or scheme not in _SCHEMES:
        raise InvalidValueError(
            f"{url!r} (from {origin}) is no address of a Docker engine: it begins with one of "
            f"{', '.join(f'{known}://' for known in _SCHEMES)}."
        )
    return EngineAddress(url, _tls_from_environment(url), origin)


def _of_context(name: str, origin: str) -> EngineAddress:
    if name == "default":
        return EngineAddress(DEFAULT_UNIX_SOCKET.removeprefix("http+"), None, "the default socket")
    try:
        found: Any = ContextAPI.get_context(name)
    except Exception as error:  # Docker's library lets out whatever a damaged file leads to.
        raise InvalidValueError(
            f"The docker context {name!r} (from {origin}) cannot be used: {error}. Look at it by "
            "'docker context inspect', or name another one."
        ) from error
    # Docker's library says that there always is one; it gives None where there is none.
    if not found:
        # Docker's library looks for contexts only beside that file.
        unseen = (
            ""
            if find_config_file()
            else " Contexts are found only where the docker command has a config.json, and it has "
            f"none: 'docker context use {name}' makes one."
        )
        raise InvalidValueError(
            f"There is no docker context {name!r} (from {origin}). There are: "
            f"{', '.join(_known_contexts())}.{unseen}"
        )
    if not found.Host:
        raise InvalidValueError(
            f"The docker context {name!r} (from {origin}) names no engine: look at it by "
            "'docker context inspect', or name another one."
        )
    certificates = cast("TLSConfig | None", found.TLSConfig)
    return EngineAddress(found.Host, certificates, f"the docker context {name!r}")


def _known_contexts() -> list[str]:
    names = {"default"}
    for file in Path(get_meta_dir()).glob(f"*/{METAFILE}"):
        try:
            names.add(str(json.loads(file.read_bytes())["Name"]))
        except (OSError, ValueError, LookupError, TypeError):
            # This one is damaged; the list is to help with another.
            continue
    return sorted(names)


def _tls_from_environment(host: str) -> TLSConfig | None:
    verify = os.environ.get("DOCKER_TLS_VERIFY")
    folder = os.environ.get("DOCKER_CERT_PATH")
    if not host.startswith("tcp://") or not (verify or folder):
        return None
    certificates = Path(folder) if folder else Path.home() / ".docker"
    try:
        return TLSConfig(
            client_cert=(str(certificates / "cert.pem"), str(certificates / "key.pem")),
            ca_cert=str(certificates / "ca.pem"),
            verify=bool(verify),
        )
    except TLSParameterError as error:
        raise InvalidValueError(
            f"The folder {str(certificates)!r} has not the certificates for {host} (ca.pem, "
            "cert.pem and key.pem): set DOCKER_CERT_PATH to the folder that has them, or unset "
            "DOCKER_TLS_VERIFY for an engine without TLS."
        ) from error
