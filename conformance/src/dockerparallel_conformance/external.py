"""A server that is really outside a cluster, for the checks of ``ExternalServer``.

Where it can, it runs the server's image in Docker; else it runs the server's command as a process.
"""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from dockerparallel import CloudProvider, DockerCluster, DockerContainer, ExternalServer
from dockerparallel.log import LOGGER_NAME
from dockerparallel.state import extension_call
from dockerparallel.validation import check_seconds
from dockerparallel_conformance.external_docker import NoDockerError, server_in_docker
from dockerparallel_conformance.external_process import server_as_process
from dockerparallel_conformance.external_waiting import HOST, ExternalServerError

_log = logging.getLogger(LOGGER_NAME)


@dataclass(frozen=True)
class RunningServer:
    """A server that runs outside every cluster.

    Parameters
    ----------
    server
        What to give to ``DockerCluster(private_server=...)``; both its addresses are the same.
    how
        How it runs, such as ``"in a Docker container of the image 'redis:7'"`` or ``"as a process
        of this machine, since no Docker engine answers"``; for the report.
    """

    server: ExternalServer
    how: str


@contextmanager
def external_server(
    provider: CloudProvider,
    worker_container: DockerContainer,
    server_container: DockerContainer | None = None,
    *,
    timeout: float = 60.0,
    host: str | None = None,
) -> Iterator[RunningServer]:
    """Run a server for the block, and remove it afterwards with all that came of it.

    Runs whatever the configured server container says: its image, environment, secrets and command.
    It is configured by a cluster that is never started, which has a random password. The image runs
    in Docker where an engine of this machine answers and has it or can pull it; else the command
    runs as a process, and a warning on the logger ``dockerparallel`` says why. In either form the
    server is reached at loopback alone; where the provider exports ``host_address()``, the address
    by which its workers reach this machine, at that alone. Secrets travel as files: neither
    ``docker inspect`` nor ``ps`` shows them. Blocks until the server accepts connections.

    Parameters
    ----------
    provider
        Only needed to make a cluster, and for its exported ``host_address()``, where it has one.
    worker_container
        Gives the server container where none is given.
    server_container
        The server, not configured.
    timeout
        Seconds for the server to accept connections, and before that for pulling its image.
    host
        The address of this machine by which workers reach it; by default what ``host_address()``
        says, else loopback.

    Yields
    ------
    RunningServer
        Where the server answers, and how it runs.

    Raises
    ------
    ServerContainerError
        There is no server container.
    ExternalServerError
        The server ended before it accepted a connection, or could not be started at all. The
        message tells its exit code and the end of its log, without secrets.
    WaitTimeoutError
        It did not accept a connection in time; the message holds the end of its log.
    """
    check_seconds("timeout", timeout)
    cluster = DockerCluster(
        provider,
        worker_container,
        worker_number=0,
        job_queue_name=f"external-{secrets.token_hex(8)}",
        server_container=server_container,
        stop_on_exit=False,
        verbose=0,
    )
    with ExitStack() as running:
        host = host or _host(cluster)
        port, how = _start(cluster, running, timeout, host)
        server = ExternalServer(
            public_ip=host,
            public_port=port,
            private_ip=host,
            private_port=port,
            password=cluster.config.server_password,
            server_worker_same_lan=False,
        )
        yield RunningServer(server, how)


def _host(cluster: DockerCluster) -> str:
    """Return the address of this machine by which the provider's workers reach it."""
    view = cluster.cloud_provider
    return str(view.host_address()) if "host_address" in dir(view) else HOST


def _start(
    cluster: DockerCluster, running: ExitStack, timeout: float, host: str
) -> tuple[int, str]:
    """Start the server until ``running`` is closed; return its port, and how it runs."""
    configured = _configured(cluster)
    try:
        docker = server_in_docker(configured, cluster.config.server_port, timeout, host)
        port = running.enter_context(docker)
    except NoDockerError as error:
        reason = str(error)
    else:
        return port, f"in a Docker container of the image {configured.image!r}"
    how = f"as a process of this machine, since {reason}"
    _log.warning("The external server runs %s.", how)
    port = cluster.config.server_port = _free_port(host)
    running.enter_context(server_as_process(_configured(cluster), port, timeout, host))
    return port, how


def _configured(cluster: DockerCluster) -> DockerContainer:
    """Return the server container of ``cluster``, configured and checked."""
    with extension_call(cluster) as state:
        if state.server_container is None:
            raise ExternalServerError("There is no server container: give server_container=.")
        configured = state.server_container.configure_server_env(cluster)
    configured.check()
    return configured


def _free_port(host: str) -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
