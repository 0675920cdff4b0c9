"""The static data of a cluster, kept where only those get it who may use the engine.

In a file of the server's container; where the server is external, in a container that is made of
the workers' image and never started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dockerparallel import DockerHardware, StaticDataError
from dockerparallel_local_docker_provider.deployment import Deployment
from dockerparallel_local_docker_provider.files import (
    STATIC_DATA_FILE,
    parse_static_data,
    static_data_archive,
)
from dockerparallel_local_docker_provider.labels import Role
from dockerparallel_local_docker_provider.launch import make, specification
from dockerparallel_local_docker_provider.records import ContainerRecord
from dockerparallel_managed_provider import lasting

if TYPE_CHECKING:
    from dockerparallel import DockerCluster, DockerContainer

_HANDLE = "store"


class StaticStore:
    """Keeps the static data of one provider's cluster up to date.

    Parameters
    ----------
    deployment
        Which cluster that is.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        # With the cluster's id: what one cluster has stored goes with it.
        self._kept: tuple[str, dict[str, Any]] | None = None

    def note(self, static_data: dict[str, Any]) -> None:
        """Note what the server's container was made with."""
        self._kept = (self._deployment.cluster_id, lasting(static_data))

    def keep(self, cluster: DockerCluster, worker_container: DockerContainer) -> None:
        """Store the static data as it is now, unless it is stored already.

        Parameters
        ----------
        cluster
            The cluster.
        worker_container
            Of whose image a store is made, where the server is external.
        """
        now = cluster.static_data()
        deployment, engine = self._deployment, self._deployment.engine
        kept = (deployment.cluster_id, lasting(now))
        if kept == self._kept:
            return
        external = cluster.state.runtime.server_from_other_source
        places = deployment.containers(Role.STORE if external else Role.SERVER)
        if places:
            engine.put(places[-1].id, static_data_archive(now))
        elif external:
            hardware = DockerHardware(memory=cluster.config.worker_hardware.memory)
            spec = specification(deployment, worker_container, hardware, Role.STORE, _HANDLE)
            make(engine, spec, {}, now, user="")
        self._kept = kept

    def load(self, records: list[ContainerRecord]) -> dict[str, Any]:
        """Return the static data that one of these containers holds.

        Raises
        ------
        StaticDataError
            None of them does, or it cannot be read.
        """
        for record in records:
            if record.role in {Role.SERVER, Role.STORE}:
                content = self._deployment.engine.read_file(record.id, STATIC_DATA_FILE)
                if content is not None:
                    return parse_static_data(content, record.name)
        raise StaticDataError(
            f"The static data of the cluster {records[0].cluster!r} is gone, as somebody has "
            "removed its server's container: end the cluster by "
            f"'python -m dockerparallel_local_docker_provider remove {records[0].cluster}', and "
            "start it anew."
        )
