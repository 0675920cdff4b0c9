"""What the provider shows to its users: logs, and clusters that were left behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, overload

from dockerparallel import InvalidValueError, ProviderError, exported
from dockerparallel.validation import check_int, check_job_queue_name, check_seconds
from dockerparallel_local_docker_provider import leftovers
from dockerparallel_local_docker_provider.connection import EngineConnection
from dockerparallel_local_docker_provider.deployment import Deployment
from dockerparallel_local_docker_provider.following import follow_log
from dockerparallel_local_docker_provider.labels import Role
from dockerparallel_local_docker_provider.leftovers import EngineCluster
from dockerparallel_local_docker_provider.records import ContainerRecord

if TYPE_CHECKING:
    from dockerparallel import DockerCluster


class LogsAndLeftovers:
    """The exported part of the provider; may be called from any thread."""

    _connection: EngineConnection
    _deployment: Deployment
    _stop_timeout: float

    @exported
    def containers(self, cluster: DockerCluster) -> dict[str, str]:
        """Return the containers of the cluster: their names in the engine, by handle.

        The server's handle is ``server``. Those that have ended are there until ``update()``, or
        the cluster's stop, removes them.
        """
        return {record.handle: record.name for record in self._with_logs(cluster)}

    @overload
    def logs(
        self,
        cluster: DockerCluster,
        name: str | None = None,
        lines: int | None = None,
        follow: Literal[False] = False,
        timeout: float | None = None,
    ) -> str: ...

    @overload
    def logs(
        self,
        cluster: DockerCluster,
        name: str | None = None,
        lines: int | None = None,
        *,
        follow: Literal[True],
        timeout: float | None = None,
    ) -> Iterator[str]: ...

    @exported
    def logs(
        self,
        cluster: DockerCluster,
        name: str | None = None,
        lines: int | None = None,
        follow: bool = False,
        timeout: float | None = None,
    ) -> str | Iterator[str]:
        """Return what a container has printed, or all of them under a heading each.

        Parameters
        ----------
        name
            A handle, one of those of ``containers()``; all by default.
        lines
            How many of the last lines of each, at least 1; all by default.
        follow
            Whether to go on: an iterator of lines is returned, each as it is printed, until the
            container ends. It needs a ``name``.
        timeout
            Seconds after which following ends; without end by default.

        Raises
        ------
        InvalidValueError
            There is no container of that name (the message lists those there are), or none was
            named to follow.
        """
        if lines is not None:
            check_int("lines", lines, minimum=1)
        if timeout is not None:
            check_seconds("timeout", timeout)
        records = {record.handle: record for record in self._with_logs(cluster)}
        engine = self._connection.engine
        if name is None and not follow:
            return "\n".join(
                f"==> {handle} <==\n{engine.log(record.id, lines)}"
                for handle, record in records.items()
            )
        if name is None or name not in records:
            asked = "To follow a log, name its container" if name is None else f"No log {name!r}"
            raise InvalidValueError(f"{asked}. There are: {', '.join(records) or 'none'}.")
        if follow:
            return follow_log(engine, records[name].id, lines, timeout)
        return engine.log(records[name].id, lines)

    @exported
    def host_address(self) -> str:
        """Return the address at which containers reach a program of this machine.

        It must listen there, or everywhere; loopback is each container's own. For an external
        server or a package index that runs beside the engine.

        Raises
        ------
        ProviderError
            The engine is on another machine, or in a virtual one, as with Docker Desktop.
        """
        engine = self._connection.engine
        gateway = engine.bridge_gateway() if engine.address.is_local else None
        if gateway is None or not sys.platform.startswith("linux"):
            raise ProviderError(
                f"The address by which containers of the Docker engine at {engine.address} reach "
                "this machine is not known: give them one that the network of the engine reaches."
            )
        return gateway

    @exported
    def list_clusters(self) -> list[EngineCluster]:
        """Return all clusters of this Docker engine, those of crashed sessions included."""
        return leftovers.list_clusters(self._connection.engine)

    @exported
    def remove_cluster(self, name: str) -> None:
        """End all containers of a cluster and remove its network, whoever started it. Idempotent.

        For what a crashed session has left. Images stay.

        Parameters
        ----------
        name
            Its ``job_queue_name``; :meth:`list_clusters` tells those there are.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            ``name`` is no ``job_queue_name``.
        ProviderError
            Something of it is still there.
        """
        leftovers.remove_cluster(
            self._connection.engine,
            check_job_queue_name(name),
            timeout=self._stop_timeout,
            at_a_time=self._connection.options.parallelism,
        )

    def _with_logs(self, cluster: DockerCluster) -> list[ContainerRecord]:
        """Return the containers of our cluster, or of that of its name where we have none yet."""
        deployment = self._deployment
        if deployment.cluster_id:
            found = deployment.containers()
        else:
            found = deployment.named(cluster.config.job_queue_name)
        return [record for record in found if record.role != Role.STORE]
