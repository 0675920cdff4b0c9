"""The provider that runs containers on a Docker engine."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from dockerparallel import (
    Capability,
    ClusterExistsError,
    ClusterNotFoundError,
    InvalidValueError,
    ProviderError,
    ServerAddress,
    StaticDataError,
    Status,
)
from dockerparallel.validation import (
    check_int,
    check_optional_port,
    check_optional_str,
    check_seconds,
)
from dockerparallel_local_docker_provider import images, labels, leftovers
from dockerparallel_local_docker_provider.connection import EngineConnection, EngineOptions
from dockerparallel_local_docker_provider.deployment import Deployment
from dockerparallel_local_docker_provider.engine import NameTakenError
from dockerparallel_local_docker_provider.exports import LogsAndLeftovers
from dockerparallel_local_docker_provider.labels import Role
from dockerparallel_local_docker_provider.launch import end, launch, specification
from dockerparallel_local_docker_provider.messages import death_of, gone
from dockerparallel_local_docker_provider.packing import (
    check_room,
    shares,
    workers_per_container,
)
from dockerparallel_local_docker_provider.published import PublishedServer
from dockerparallel_local_docker_provider.records import ContainerRecord
from dockerparallel_local_docker_provider.static_store import StaticStore
from dockerparallel_managed_provider import ManagedCloudProvider
from dockerparallel_managed_provider.parallel import for_each

if TYPE_CHECKING:
    from dockerparallel import DockerCluster, DockerContainer, DockerHardware

_SERVER_HANDLE = "server"


class LocalDockerProvider(LogsAndLeftovers, ManagedCloudProvider):
    """Runs the server and the workers of a cluster as containers of a Docker engine.

    The engine is the one that the ``docker`` command would use, on this machine or, by ssh or TLS,
    on another. Each cluster has a network of its own, on which its workers reach its server; the
    server is published on the loopback of the engine's machine alone. All that the provider makes
    has labels (``labels.py``), by which every session finds it, and nothing else is remembered.

    Parameters
    ----------
    docker_host
        Address of the engine, such as ``"ssh://me@workstation"``; by default ``DOCKER_HOST``.
    context
        Name of a docker context, instead of ``docker_host``; by default ``DOCKER_CONTEXT``, then
        the current one of the ``docker`` command.
    host_port
        Port of the engine's machine on which the server is published; any free one by default.
    parallelism
        How many containers are started or ended at a time, at least 1.
    stop_timeout
        Seconds that a container has to end after SIGTERM, before it is killed.
    engine_timeout
        Seconds to wait for one answer of the engine.
    image_timeout
        Seconds that it may take to build or pull an image that is missing.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        An argument does not fit.
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

    def __init__(
        self,
        *,
        docker_host: str | None = None,
        context: str | None = None,
        host_port: int | None = None,
        parallelism: int = 8,
        stop_timeout: float = 10.0,
        engine_timeout: float = 60.0,
        image_timeout: float = 1800.0,
    ) -> None:
        if docker_host is not None and context is not None:
            raise InvalidValueError(
                f"docker_host={docker_host!r} and context={context!r} name an engine each: pass "
                "one of them."
            )
        self._connection = EngineConnection(
            EngineOptions(
                check_optional_str("docker_host", docker_host),
                check_optional_str("context", context),
                check_seconds("engine_timeout", engine_timeout),
                check_int("parallelism", parallelism, minimum=1),
            )
        )
        self._host_port = check_optional_port("host_port", host_port)
        self._stop_timeout = check_seconds("stop_timeout", stop_timeout)
        self._image_timeout = check_seconds("image_timeout", image_timeout)
        self._deployment = Deployment(self._connection)
        self._published = PublishedServer(self._connection)
        self._store = StaticStore(self._deployment)
        self._reported: set[str] = set()

    # The server -----------------------------------------------------------------------------

    def initialize(self, cluster: DockerCluster) -> None:
        """See that the engine answers.

        Raises
        ------
        EngineUnreachableError, EnginePermissionError, EngineTimeoutError
            It does not; the message says what to do.
        InvalidValueError
            The docker context that was named cannot be used.
        """
        size = self._connection.size
        cluster.logger.debug(
            "The Docker engine at %s has %d cores and %d MiB.",
            self._connection.engine.address,
            size.cores,
            size.memory_mib,
        )

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        """Start the server, on the cluster's network and published on loopback.

        Builds or pulls its image first, where the engine lacks it.

        Raises
        ------
        InvalidValueError
            The engine has not as many cores, or as much memory; or it is a ``tcp`` engine of
            another machine.
        ClusterExistsError
            Another session has started a cluster of this name meanwhile.
        ImageUnavailableError, PortTakenError, NetworkPoolError, EngineError
            The engine cannot run it.
        """
        check_room("server", hardware, self._connection.size)
        if cluster.config.expected_worker_number:
            # Before a server runs in vain.
            check_room("worker", cluster.config.worker_hardware, self._connection.size)
        address = self._connection.engine.address
        if not address.loopback_is_reached:
            raise InvalidValueError(
                f"A server on the Docker engine at {address} is published on the loopback of that "
                "machine, which this one does not reach: use ssh (docker_host='ssh://user@host'), "
                "which forwards its port, or an ExternalServer that both reach."
            )
        deployment = self._deployment
        deployment.begin(cluster)
        self.stop_server(cluster)
        engine = deployment.engine
        user = images.ensure_image(engine, container, cluster.logger, self._image_timeout)
        deployment.ensure_network()
        spec = specification(
            deployment,
            container,
            hardware,
            Role.SERVER,
            _SERVER_HANDLE,
            ports={cluster.config.server_port: self._host_port},
        )
        static_data = cluster.static_data()
        try:
            launch(engine, spec, container.secrets, static_data, user)
        except NameTakenError:
            raise ClusterExistsError(
                f"The Docker engine has a container {spec.name!r} already, which is not of this "
                "cluster: another session has started one of this name. Choose another "
                "job_queue_name, or call start(if_exists=...)."
            ) from None
        self._store.note(static_data)

    def stop_server(self, cluster: DockerCluster) -> None:
        """End the server's container and remove it; idempotent.

        Raises
        ------
        ProviderError
            The engine does not remove it.
        """
        self._published.close()
        left = self._end(cluster, self._deployment.containers(Role.SERVER))
        if left:
            raise ProviderError(
                f"The container {left[0].name!r} is still there: look at it by 'docker inspect', "
                "and try again."
            )

    def server_status(self, cluster: DockerCluster) -> Status:
        """Return INITIALIZING until the server accepts connections, STOPPED once it has ended."""
        server = self._deployment.server()
        if server is None or server.status is not Status.RUNNING:
            return Status.STOPPED if server is None else server.status
        port = cluster.config.server_port
        answers = self._published.answers(server, self._deployment.network, port)
        return Status.RUNNING if answers else Status.INITIALIZING

    def server_stop_reason(self, cluster: DockerCluster) -> str:
        """Return how the server's container has ended, and the end of its log."""
        server = self._deployment.server()
        if server is None:
            return gone(_SERVER_HANDLE)
        return death_of(cluster, self._deployment.engine, server)

    def server_address(self, cluster: DockerCluster) -> ServerAddress:
        """Return where the server is published, and its address on the cluster's network.

        On an ssh host, its port is forwarded to this machine by ssh, and the public address is
        the local end of that.

        Raises
        ------
        ForwardError
            The port cannot be forwarded.
        """
        server = self._deployment.server()
        if server is None or not server.lives:
            return ServerAddress()
        return self._published.address(server, self._deployment.network, cluster.config.server_port)

    # The workers ----------------------------------------------------------------------------

    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        """Start containers of up to ``container.max_worker_num`` workers each, at the same time.

        No container has more workers than the engine has cores and memory for.

        Raises
        ------
        InvalidValueError
            The engine has not as many cores, or as much memory, as one worker needs.
        ClusterExistsError
            Another session has started a cluster of this name meanwhile.
        ImageUnavailableError, NetworkPoolError, EngineError
            The engine cannot run one; those before it run, and are known.
        """
        size = self._connection.size
        check_room("worker", hardware, size)
        deployment, engine = self._deployment, self._deployment.engine
        deployment.begin(cluster)
        user = images.ensure_image(engine, container, cluster.logger, self._image_timeout)
        deployment.ensure_network()
        self._store.keep(cluster, container)
        counts = shares(
            worker_number, workers_per_container(hardware, container.max_worker_num, size)
        )
        packed = [
            container if workers == 1 else container.configure_worker_env(cluster, workers)
            for workers in counts
        ]
        handles = [f"worker-{secrets.token_hex(4)}" for _ in counts]

        def run(number: int) -> None:
            one = packed[number]
            spec = specification(
                deployment, one, hardware, Role.WORKER, handles[number], workers=counts[number]
            )
            launch(engine, spec, one.secrets, None, user)

        cluster.logger.debug("Starting %d container(s) of %s.", len(counts), container.image)
        outcomes = for_each(
            run,
            range(len(counts)),
            at_a_time=self._connection.options.parallelism,
            tell=lambda done: cluster.logger.info(
                "Started %d of %d containers.", done, len(counts)
            ),
            stop_at_error=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return [h for h, workers in zip(handles, counts, strict=True) for _ in range(workers)]

    def worker_status(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        """Return the status of each container that the engine has, STOPPED for others.

        A warning tells, once, how a container ended by itself, and the end of its log.
        """
        known = self._deployment.workers()
        return [self._status_of(cluster, known.get(handle)) for handle in handles]

    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        """End containers and remove them, all at the same time."""
        known = self._deployment.workers()
        wanted = [known[handle] for handle in handles if handle in known]
        left = {record.handle for record in self._end(cluster, wanted)}
        return [handle not in left for handle in handles]

    def worker_names(self, cluster: DockerCluster) -> list[str]:
        """Return the names of the containers whose workers live."""
        return [record.name for record in self._deployment.workers().values() if record.lives]

    def worker_handles(self) -> list[str]:
        """Return the handles that the engine has, where other sessions see and change them."""
        return [
            handle
            for handle, record in self._deployment.workers().items()
            for _ in range(record.workers)
        ]

    def add_worker_handles(self, handles: Iterable[str]) -> None:
        """Do nothing: the engine has a label on each container."""

    def remove_worker_handles(self, handles: Iterable[str]) -> None:
        """Remove the containers of workers that have ended."""
        wanted = set(handles)
        known = self._deployment.workers()
        for handle in wanted & known.keys():
            self._deployment.engine.remove(known[handle].id)

    def _status_of(self, cluster: DockerCluster, record: ContainerRecord | None) -> Status:
        if record is None:
            return Status.STOPPED
        if record.status is Status.STOPPED and record.handle not in self._reported:
            self._reported.add(record.handle)
            cluster.logger.warning("%s", death_of(cluster, self._deployment.engine, record))
        return record.status

    def _end(self, cluster: DockerCluster, records: list[ContainerRecord]) -> list[ContainerRecord]:
        """End and remove containers; return those that are left."""
        return end(
            self._deployment.engine,
            records,
            timeout=self._stop_timeout,
            at_a_time=self._connection.options.parallelism,
            logger=cluster.logger,
        )

    # The cluster ----------------------------------------------------------------------------

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        """Tell whether the server or a worker of a cluster of this name lives."""
        return any(record.lives for record in self._deployment.named(cluster.config.job_queue_name))

    def reconnect(self, cluster: DockerCluster) -> None:
        """Take over the cluster of this name; its static data is in its server's container.

        Raises
        ------
        ClusterNotFoundError
            It has ended meanwhile.
        StaticDataError
            Its static data cannot be read, or is gone with its server's container.
        """
        name = cluster.config.job_queue_name
        records = self._deployment.named(name)
        alive = [record for record in records if record.lives]
        if not alive:
            raise ClusterNotFoundError(f"The cluster {name!r} has ended meanwhile: call start().")
        # Where a crash has left several of the name, the one with a server is meant.
        chosen = max(alive, key=lambda record: (record.role == Role.SERVER, record.started))
        ours = [record for record in records if record.cluster_id == chosen.cluster_id]
        try:
            cluster.set_static_data(self._store.load(ours))
        except StaticDataError:
            if not cluster.state.any_container_class:
                raise
            # The cluster is being removed, for which its name is enough.
            cluster.logger.debug("Removing a cluster whose static data is gone.")
        self._deployment.take(name, chosen.cluster_id)

    def cleanup(self, cluster: DockerCluster, deep: bool = False) -> None:
        """Remove what is left of the cluster's containers, and its network.

        A cluster of the same name that another session has started is left alone.

        Parameters
        ----------
        deep
            Remove also the images of this cluster that the provider has built because they were
            missing, unless a container uses them.

        Raises
        ------
        ProviderError, EngineError
            Something of it is still there.
        """
        deployment, engine = self._deployment, self._deployment.engine
        self._published.close()
        mark = deployment.labels or {labels.CLUSTER: cluster.config.job_queue_name}
        containers = engine.containers(mark)
        if deployment.cluster_id or not any(record.lives for record in containers):
            leftovers.remove(
                engine,
                containers,
                engine.networks(mark),
                timeout=self._stop_timeout,
                at_a_time=self._connection.options.parallelism,
            )
        deployment.forget()
        if deep:
            state = cluster.state
            for container in filter(None, (state.server_container, state.worker_container)):
                images.remove_built_image(engine, container.image, cluster.logger)
        self._connection.close()
