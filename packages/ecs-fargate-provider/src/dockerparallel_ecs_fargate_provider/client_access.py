"""How this session reaches the server: the rule that lets it in, and whether it answers."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from dockerparallel_ecs_fargate_provider.client_address import client_cidr
from dockerparallel_ecs_fargate_provider.infrastructure import Infrastructure, Site
from dockerparallel_ecs_fargate_provider.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dockerparallel import DockerCluster

_CONNECT_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0


class ClientAccess:
    """Opens the server's port to this session, and closes it again.

    Parameters
    ----------
    infrastructure
        With the security group.
    options
        Of the provider: which addresses are the client's.
    """

    def __init__(self, infrastructure: Infrastructure, options: Options) -> None:
        self._infrastructure = infrastructure
        self._options = options
        # The security group, and the network that was let in.
        self._open: tuple[str, str] | None = None
        self._answered: str | None = None
        self._since: tuple[str, float] | None = None
        self._warned = False

    def open(self, site: Site, port: int, tags: Mapping[str, str]) -> None:
        """Let the client's addresses reach a port of the server; idempotent.

        Raises
        ------
        AWSUnreachableError
            The client's address cannot be found out.
        ResourceError
            The security group is the user's, and does not let the client in.
        """
        cidr = client_cidr(self._options)
        self._infrastructure.let_in(site, cidr, port, tags)
        self._open = (site.security_group_id, cidr)

    def shut(self, others_run: bool) -> None:
        """Let nobody in any more, unless other clusters run; idempotent."""
        if self._open is not None and not others_run:
            self._infrastructure.shut_out(self._open[0])
        self._open = None
        self._answered = self._since = None
        self._warned = False

    def answers(self, cluster: DockerCluster, task: str, host: str | None, port: int) -> bool:
        """Tell whether the server accepts a connection; one that did is not asked again.

        Parameters
        ----------
        task
            ARN of the server's task, to know one server from the next.
        host
            Its address, or ``None`` where the session has none: then nothing can be told.
        """
        if host is None or self._answered == task:
            return True
        try:
            with socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
                self._answered = task
                return True
        except OSError as error:
            self._note_silence(cluster, task, f"{host}:{port}", error)
            return False

    def _note_silence(
        self, cluster: DockerCluster, task: str, address: str, error: OSError
    ) -> None:
        if self._since is None or self._since[0] != task:
            self._since, self._warned = (task, time.monotonic()), False
        if time.monotonic() - self._since[1] > _PATIENCE_SECONDS and not self._warned:
            self._warned = True
            rule = "" if self._open is None else f" (the security group lets in {self._open[1]})"
            cluster.logger.warning(
                "The server's task runs, but %s does not accept a connection from here: %s. If "
                "that goes on, this session comes from another address than was thought%s: pass "
                "client_cidr=; or a firewall on the way forbids the port: set "
                "cluster.config.server_port; or the server has not started: look at "
                "cluster.cloud_provider.logs('server').",
                address,
                error,
                rule,
            )
