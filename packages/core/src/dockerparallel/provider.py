"""The contract of a cloud provider: how containers come to run somewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

from dockerparallel.capability import Capability
from dockerparallel.container import claims
from dockerparallel.copying import independent_copy
from dockerparallel.exported import Exporting
from dockerparallel.status import ServerAddress, Status, WorkerNumbers

if TYPE_CHECKING:
    from dockerparallel.cluster import DockerCluster
    from dockerparallel.container import DockerContainer
    from dockerparallel.hardware import DockerHardware

_CLAIMS = {
    "server_status": Capability.SERVER_STATUS,
    "worker_numbers": Capability.WORKER_NUMBERS,
    "reconnect": Capability.RECONNECT,
    "cleanup": Capability.CLEANUP,
}


class CloudProvider(Exporting, ABC):
    """Runs the server and the workers of ONE cluster on some platform.

    Extension authors override the four abstract methods, and as many of the others as their
    platform allows. The class needs no ``__init__`` of its own, and one that has its own need not
    call this one.

    The cluster works on a copy of the user's object (:meth:`copy`) and calls it under the lock of
    that cluster, so never from two threads at a time. A method may block while the platform
    works, within a timeout of its own, but does not wait for a server or worker to become ready.
    It takes what it needs from ``cluster.config`` and ``cluster.state`` and keeps no reference to
    ``cluster``: a kept handle would never be collected, and the cluster never stopped. Any error
    may be raised; :class:`dockerparallel.ProviderError` is there for those without a better class.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    """What the class claims to offer; see :class:`dockerparallel.Capability`."""

    # What a provider must do ----------------------------------------------------------------

    @abstractmethod
    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        """Start the server of the cluster.

        Called by ``start_server`` where no server runs, with a container that is configured
        already. It uses the container's ``name``, ``image``, ``environment``, ``secrets`` and
        ``command``. It need not wait until the server answers, but :meth:`server_address` is asked
        next. A start that fails half-way removes what it made, or keeps it known so that
        :meth:`stop_server` and :meth:`cleanup` do.
        """

    @abstractmethod
    def stop_server(self, cluster: DockerCluster) -> None:
        """Stop the server and return when it will cost nothing more.

        Called by ``stop_server`` and ``stop``, also for a server that has died. Idempotent.
        Called at interpreter exit too, where no new thread can be started.
        """

    @abstractmethod
    def server_address(self, cluster: DockerCluster) -> ServerAddress:
        """Return where the server answers: from outside (public) and inside (private).

        Called once after :meth:`run_server` and once after :meth:`reconnect`. It waits, within a
        timeout, until the platform has given the server its address. After :meth:`reconnect` to a
        cluster whose server is gone, and whose workers are there to be stopped, it returns an
        empty ``ServerAddress()``.
        """

    @abstractmethod
    def set_worker_number(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> None:
        """Start or stop workers until ``worker_number`` of them live or are on their way.

        Called by ``set_worker_number``, ``update`` and ``stop`` (with 0, also when the server has
        died, and at interpreter exit, where no new thread can be started). Dead workers do not
        count. Idempotent.

        Parameters
        ----------
        container
            The worker container, configured for ONE worker. To put n workers into one container,
            call ``container.configure_worker_env(cluster, n)`` again, with n at most
            ``container.max_worker_num``.
        hardware
            What ONE worker needs.
        worker_number
            The number of workers that shall be there, at least 0.
        """

    # What a provider may do -----------------------------------------------------------------

    def initialize(self, cluster: DockerCluster) -> None:
        """Prepare the provider: check credentials, find or make what clusters share.

        Called once in the life of a ``DockerCluster``, before any other method here. Since
        ``run_server`` may come again after :meth:`cleanup`, what clean-up removes is made in
        ``run_server``, not here. The default does nothing.
        """

    def server_status(self, cluster: DockerCluster) -> Status:
        """Return the status of the server that was started.

        Called whenever the cluster must know, as often as every 10 ms while it waits for a server
        that initializes; never for an external server. The default says ``Status.RUNNING``.
        """
        return Status.RUNNING

    def server_stop_reason(self, cluster: DockerCluster) -> str:
        """Return why the server has stopped by itself, for an error message; may be empty.

        Called once when the server is found stopped: the exit code and the end of its log help,
        since :meth:`cleanup` may remove the log before the user sees the message. It is one
        sentence or more, and must not hold a secret. The default knows nothing.
        """
        return ""

    def worker_numbers(self, cluster: DockerCluster) -> WorkerNumbers:
        """Return how many workers are initializing and how many run; dead ones do not count.

        Called after each change of the number and by ``cluster.worker_numbers()``. The default
        says that all that were asked for run while a server does, and none otherwise.
        """
        state = cluster.state
        if not state.runtime.has_server:
            return WorkerNumbers(0, 0)
        return WorkerNumbers(0, min(state.requested_workers, state.config.expected_worker_number))

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        """Tell whether a cluster with ``cluster.config.job_queue_name`` runs on the platform.

        Called by ``start``, ``exists`` and ``reconnect``. Clusters are the same if and only if
        these names are equal. The default says ``False``.
        """
        return False

    def reconnect(self, cluster: DockerCluster) -> None:
        """Take over the running cluster of ``cluster.config.job_queue_name``.

        Called by ``cluster.reconnect()`` after :meth:`cluster_exists` said ``True``. It reads the
        stored static data from its secret place and gives it to ``cluster.set_static_data``. When
        it returns, every other method works for the server and workers that run. The default
        logs that this provider has no reconnecting.
        """
        cluster.logger.warning(
            "%s cannot reconnect: it does not override reconnect().", type(self).__name__
        )

    def cleanup(self, cluster: DockerCluster, deep: bool = False) -> None:
        """Remove what the provider made for this cluster, besides server and workers.

        Called by ``stop`` (with ``deep=False``) and by ``cluster.cleanup``, when no server and no
        worker of ours is left. Idempotent. Where ``cluster.state.starting``, a start has failed:
        what was made for it alone, and would stay with ``deep=False``, goes too. The default does
        nothing.

        Parameters
        ----------
        deep
            Remove also what later clusters would use again, such as networks, roles or images.
        """

    def worker_names(self, cluster: DockerCluster) -> list[str]:
        """Return names by which a person finds the workers that live, for error messages.

        Called by ``stop`` where workers outlived it. The default knows no names.
        """
        return []

    # What every provider has ----------------------------------------------------------------

    def copy(self) -> Self:
        """Return a copy that shares nothing with this provider that a change could reach.

        Attributes that cannot be copied, such as a client of a service, are shared.
        """
        return independent_copy(self)

    @classmethod
    def claimed_capabilities(cls) -> frozenset[Capability]:
        """Return what this class claims: the declared set, or what it overrides."""
        return claims(cls, CloudProvider, _CLAIMS)

    def __repr__(self) -> str:
        """Show the class alone: attributes may hold secrets."""
        return f"{type(self).__name__}()"
