"""The provider of the in-memory pair, which keeps every promise of a provider.

It is made of small methods, so that a subclass can break one promise alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from memory_cloud import CloudAddress, ContainerInfo, new_id

from dockerparallel import (
    Capability,
    CloudConfig,
    ClusterNotFoundError,
    ServerAddress,
    Status,
    exported,
)
from dockerparallel.environment import BIND_ADDRESS_VARIABLE
from dockerparallel_managed_provider import ManagedCloudProvider

if TYPE_CHECKING:
    from dockerparallel import DockerCluster, DockerContainer, DockerHardware

HOST = "127.0.0.1"
SHARED = "memory-network"
"""What all clusters of an account use; deep clean-up removes it."""

_WORKERS = "workers"


class MemoryProvider(ManagedCloudProvider):
    """Runs containers on a memory cloud.

    Parameters
    ----------
    cloud
        The platform.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.SERVER_STATUS,
            Capability.WORKER_NUMBERS,
            Capability.RECONNECT,
            Capability.CLEANUP,
            Capability.SHARED_CONTAINERS,
            Capability.SECRET_CHANNEL,
        }
    )

    def __init__(self, cloud: CloudAddress) -> None:
        self.cloud = cloud
        self.server_id: str | None = None

    def initialize(self, cluster: DockerCluster) -> None:
        """Find out whether the platform answers."""
        self.cloud.ping()

    # The server -----------------------------------------------------------------------------

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        """Start the server; on another port, where that of ``cluster.config`` is taken."""
        # One that has died by itself is still known.
        self.stop_server(cluster)
        container = self.with_free_port(cluster, container)
        self.prepare(cluster)
        # Known before it is there, so that it is found whatever happens.
        self.server_id = new_id("server")
        self.run_container(cluster, container, "server", self.server_id, 0)

    def with_free_port(self, cluster: DockerCluster, container: DockerContainer) -> DockerContainer:
        """Reserve a port, and configure ``container`` again where it is not the configured one."""
        wanted = cluster.config.server_port
        # What every cluster asks for is left to those that have nothing else: other tests run
        # beside this one, and look for a free port some time before they listen on it.
        asked = 0 if wanted == CloudConfig().server_port else wanted
        port = self.cloud.reserve_port(self.cluster_name(cluster), asked)
        if port == wanted:
            return container
        cluster.logger.info("The server gets port %d.", port)
        cluster.config.server_port = port
        return (cluster.state.server_container or container).configure_server_env(cluster)

    def stop_server(self, cluster: DockerCluster) -> None:
        """End the server; idempotent."""
        if self.server_id is not None:
            self.kill([self.server_id])
            self.server_id = None

    def server_status(self, cluster: DockerCluster) -> Status:
        """Return INITIALIZING until the server listens, STOPPED once it is dead."""
        if self.server_id is None:
            return Status.STOPPED
        return self.status([self.server_id])[0]

    def server_stop_reason(self, cluster: DockerCluster) -> str:
        """Return how the server's process has ended, and the end of its log."""
        return "".join(info.ended for info in self.listed(cluster) if info.id == self.server_id)

    def server_address(self, cluster: DockerCluster) -> ServerAddress:
        """Return the address of the server, the same from everywhere on this machine."""
        for info in self.listed(cluster):
            if info.id == self.server_id:
                return ServerAddress(HOST, info.port, HOST, info.port)
        return ServerAddress()

    # The workers ----------------------------------------------------------------------------

    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        """Start containers of up to ``container.max_worker_num`` workers each."""
        handles: list[str] = []
        try:
            self.prepare(cluster)
            for workers in self.packing(container, worker_number):
                handle = new_id("worker")
                handles += [handle] * workers
                packed = self.packed(cluster, container, workers)
                self.run_container(cluster, packed, "worker", handle, workers)
        except BaseException:
            self.note_half_started(handles)
            raise
        return handles

    def packing(self, container: DockerContainer, worker_number: int) -> list[int]:
        """Return how many workers each new container gets."""
        most = container.max_worker_num
        full, rest = divmod(worker_number, most)
        return [most] * full + [rest] * (rest > 0)

    def packed(
        self, cluster: DockerCluster, container: DockerContainer, workers: int
    ) -> DockerContainer:
        """Return the container for so many workers; it is configured for one."""
        return container if workers == 1 else container.configure_worker_env(cluster, workers)

    def note_half_started(self, handles: list[str]) -> None:
        """Note what was started before an error, so that it can be killed."""
        self.add_worker_handles(handles)

    def worker_status(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        """Return the status of each container."""
        return self.status(handles)

    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        """End containers."""
        return self.kill(handles)

    def remove_worker_handles(self, handles: Iterable[str]) -> None:
        """Forget containers, here and on the platform, which still shows dead ones."""
        gone = list(handles)
        super().remove_worker_handles(gone)
        self.forget(gone)

    # The cluster ----------------------------------------------------------------------------

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        """Tell whether a server or worker of a cluster of this name lives."""
        return any(info.status is not Status.STOPPED for info in self.listed(cluster))

    def reconnect(self, cluster: DockerCluster) -> None:
        """Take over the cluster of this name."""
        self.restore(cluster, self.cloud.get(self.cluster_name(cluster)))
        living = [info for info in self.listed(cluster) if info.status is not Status.STOPPED]
        self.take_server(living)
        self.take_workers(living)

    def restore(self, cluster: DockerCluster, stored: dict[str, object] | None) -> None:
        """Give the cluster the settings and containers that were stored."""
        if stored is None:
            raise ClusterNotFoundError(
                f"The cluster {self.cluster_name(cluster)!r} has ended meanwhile: call start()."
            )
        cluster.set_static_data(stored)

    def take_server(self, living: list[ContainerInfo]) -> None:
        """Take over the server among the containers of the cluster, if there is one."""
        self.server_id = next((info.id for info in living if info.role == "server"), None)

    def take_workers(self, living: list[ContainerInfo]) -> None:
        """Take over the workers among the containers of the cluster, instead of those before."""
        super().remove_worker_handles(self.worker_handles())
        for info in living:
            if info.role == "worker":
                self.add_worker_handles([info.id] * int(info.labels[_WORKERS]))

    def cleanup(self, cluster: DockerCluster, deep: bool = False) -> None:
        """Remove what dead containers have left, the stored data and, if deep, the network.

        A cluster of the same name that another session has started is left alone.
        """
        if not self.cluster_exists(cluster):
            self.forget([info.id for info in self.listed(cluster)])
            self.remove_stored(cluster)
        if deep:
            self.remove_shared()

    def remove_stored(self, cluster: DockerCluster) -> None:
        """Remove the stored data, with the password in it, and the reserved port."""
        self.cloud.delete(self.cluster_name(cluster))

    def remove_shared(self) -> None:
        """Remove what all clusters of the account use."""
        self.cloud.remove_shared(SHARED)

    # What the user sees ---------------------------------------------------------------------

    @exported
    def list_clusters(self) -> list[str]:
        """Return the names of the clusters of which something is there, of all sessions."""
        return self.cloud.cluster_names()

    @exported
    def list_containers(self) -> list[ContainerInfo]:
        """Return the containers of all clusters, as the platform shows them to everybody."""
        return self.cloud.containers()

    # Requests to the platform ---------------------------------------------------------------

    def cluster_name(self, cluster: DockerCluster) -> str:
        """Return the name under which the platform knows the cluster."""
        return cluster.config.job_queue_name

    def prepare(self, cluster: DockerCluster) -> None:
        """Make what the containers need, before any is started."""
        self.cloud.add_shared(SHARED)
        self.cloud.put(self.cluster_name(cluster), self.stored_data(cluster))

    def stored_data(self, cluster: DockerCluster) -> dict[str, object]:
        """Return what another session needs to take the cluster over."""
        return cluster.static_data()

    def run_container(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        role: str,
        handle: str,
        workers: int,
    ) -> None:
        """Start one container."""
        self.cloud.run(
            self.cluster_name(cluster),
            role,
            container.image,
            self.environment(container),
            self.secrets(container),
            container.command,
            labels={_WORKERS: str(workers)},
            port=cluster.config.server_port if role == "server" else None,
            container_id=handle,
        )

    def environment(self, container: DockerContainer) -> dict[str, str]:
        """Return the environment of a container; its network is that of this machine."""
        return {BIND_ADDRESS_VARIABLE: HOST, **container.environment}

    def secrets(self, container: DockerContainer) -> dict[str, str]:
        """Return what is handed over where nobody lists it."""
        return container.secrets

    def listed(self, cluster: DockerCluster) -> list[ContainerInfo]:
        """Return the containers of the cluster, stopped ones included."""
        return self.cloud.containers(self.cluster_name(cluster))

    def status(self, handles: list[str]) -> list[Status]:
        """Return the status of containers."""
        return self.cloud.status(handles)

    def kill(self, handles: list[str]) -> list[bool]:
        """End containers and forget them."""
        return self.cloud.kill(handles)

    def forget(self, handles: list[str]) -> None:
        """Remove what dead containers have left on the platform."""
        self.cloud.forget(handles)
