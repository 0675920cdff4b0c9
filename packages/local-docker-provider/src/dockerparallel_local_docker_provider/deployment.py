"""Which cluster a provider runs, and what the engine has of it at this moment."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from dockerparallel import ClusterExistsError
from dockerparallel_local_docker_provider import labels
from dockerparallel_local_docker_provider.connection import EngineConnection
from dockerparallel_local_docker_provider.engine import Engine, NameTakenError
from dockerparallel_local_docker_provider.labels import Role
from dockerparallel_local_docker_provider.records import ContainerRecord

if TYPE_CHECKING:
    from dockerparallel import DockerCluster

PREFIX = "dockerparallel"


class Deployment:
    """The cluster of one provider: none at first, then the one that it started or took over.

    The engine is the truth, which other sessions change too. It is asked each time, by the labels
    of the cluster, so that nothing has to be remembered.

    Parameters
    ----------
    connection
        To the engine.
    """

    def __init__(self, connection: EngineConnection) -> None:
        self._connection = connection
        self.name = ""
        self.cluster_id = ""

    @property
    def engine(self) -> Engine:
        """The engine on which the cluster runs."""
        return self._connection.engine

    @property
    def labels(self) -> dict[str, str]:
        """The labels by which this very cluster is found; empty where there is none."""
        if not self.cluster_id:
            return {}
        return {labels.CLUSTER: self.name, labels.CLUSTER_ID: self.cluster_id}

    @property
    def network(self) -> str:
        """Name of the cluster's network."""
        return f"{PREFIX}-{self.name}"

    def container_name(self, handle: str) -> str:
        """Return the name in the engine of a container of the cluster."""
        return f"{PREFIX}-{self.name}-{handle}"

    # Beginning and ending -------------------------------------------------------------------

    def begin(self, cluster: DockerCluster) -> None:
        """Have a cluster: ours, where it is there already, else a new one.

        Raises
        ------
        ClusterExistsError
            Another session runs a cluster of this name.
        """
        if self.cluster_id:
            return
        name = cluster.config.job_queue_name
        old = self.named(name)
        if any(record.lives for record in old):
            raise _exists(name)
        if old:
            cluster.logger.info("Removing what a crashed cluster of this name has left.")
            for record in old:
                self.engine.remove(record.id)
        self.take(name, secrets.token_hex(8))

    def take(self, name: str, cluster_id: str) -> None:
        """Make a cluster ours."""
        self.name, self.cluster_id = name, cluster_id

    def forget(self) -> None:
        """Have no cluster any more."""
        self.name = self.cluster_id = ""

    def ensure_network(self) -> None:
        """Make the cluster's network, unless it is there.

        Raises
        ------
        ClusterExistsError
            Another session has made one of this name meanwhile.
        """
        name = self.network
        for network in self.engine.networks({labels.CLUSTER: self.name}):
            if network.labels.get(labels.CLUSTER_ID) == self.cluster_id:
                return
            # Of an earlier cluster of this name, or, where an image had to be made since `begin`,
            # of one that was started meanwhile.
            if any(r.lives and r.cluster_id != self.cluster_id for r in self.named(self.name)):
                raise _exists(self.name)
            self.engine.remove_network(network.id)
        try:
            self.engine.create_network(name, labels.common(self.name, self.cluster_id))
        except NameTakenError:
            raise _exists(self.name) from None

    # What is there --------------------------------------------------------------------------

    def named(self, name: str) -> list[ContainerRecord]:
        """Return all containers of all clusters of a name, the oldest first."""
        return self.engine.containers({labels.CLUSTER: name})

    def containers(self, role: Role | None = None) -> list[ContainerRecord]:
        """Return the containers of our cluster, the oldest first; none where we have none."""
        if not self.cluster_id:
            return []
        wanted = self.labels if role is None else {**self.labels, labels.ROLE: role.value}
        return self.engine.containers(wanted)

    def server(self) -> ContainerRecord | None:
        """Return the server's container, or ``None`` where there is none (any more)."""
        found = self.containers(Role.SERVER)
        return found[-1] if found else None

    def workers(self) -> dict[str, ContainerRecord]:
        """Return the containers of workers by their handles, the oldest first."""
        return {record.handle: record for record in self.containers(Role.WORKER)}


def _exists(name: str) -> ClusterExistsError:
    return ClusterExistsError(
        f"Another session runs a cluster {name!r} on this Docker engine already: choose another "
        "job_queue_name, or call start(if_exists=...)."
    )
