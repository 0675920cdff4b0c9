"""The server and worker containers of the redis-queue backend."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dockerparallel import DockerContainer, exported
from dockerparallel.errors import InvalidTypeError
from dockerparallel.validation import check_identifier, check_int
from dockerparallel_redis_queue_container import registration, settings
from dockerparallel_redis_queue_container.executor import ClusterExecutor
from dockerparallel_redis_queue_container.image_build import DEFAULT_IMAGE, ImageBuild, is_ours
from dockerparallel_redis_queue_container.job_functions import JobFunctions
from dockerparallel_redis_queue_container.joblib_backend import BACKEND_NAME
from dockerparallel_redis_queue_container.jobs import JobRequest
from dockerparallel_redis_queue_container.package_functions import PackageFunctions
from dockerparallel_redis_queue_container.registering import (
    RegistrationOptions,
    answering,
    open_client,
    open_job,
    wait_for_worker,
)
from dockerparallel_redis_queue_container.requirements import (
    check_pip_packages,
    check_system_packages,
)
from dockerparallel_redis_queue_container.stats import stats_of

if TYPE_CHECKING:
    from dockerparallel import DockerCluster

_UNITS_PER_CORE = 1024


def _command(role: str) -> list[str]:
    return ["python", "-m", "dockerparallel_redis_queue_container", role]


@dataclasses.dataclass(repr=False)
class RedisQueueServerContainer(DockerContainer):
    """A password-protected Redis or Valkey server that holds the queue in its memory.

    The variables named in ``settings.py`` under :class:`ServerSettings` may be set in
    ``environment``: a folder for a queue that outlives the server, and a limit of its memory.

    Parameters
    ----------
    image, name, backend, max_worker_num, environment, secrets, command
        As in :class:`dockerparallel.DockerContainer`.
    """

    image: str = DEFAULT_IMAGE
    name: str = "redis-queue-server"
    backend: str = BACKEND_NAME
    command: list[str] | None = dataclasses.field(default_factory=lambda: _command("server"))

    def configure_server_env(self, cluster: DockerCluster) -> Self:
        """Return a copy that knows the port and, as a secret, the password of ``cluster``."""
        container = self.copy()
        container.environment[settings.PORT] = str(cluster.config.server_port)
        container.secrets[settings.PASSWORD] = cluster.config.server_password
        return container

    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        """Refuse: this container runs no workers."""
        raise _wrong_role("worker_container", "RedisQueueWorkerContainer")

    def write_build_context(self, folder: Path) -> dict[str, str] | None:
        """Write what the image is built of, where it is one of ``dockerparallel/redis-queue``.

        The variables ``DOCKERPARALLEL_BASE_IMAGE`` and ``DOCKERPARALLEL_WHEELHOUSE`` of the client
        choose the base and the wheels; see :meth:`DockerContainer.write_build_context`.
        """
        return ImageBuild.from_environment().write(folder) if is_ours(self.image) else None

    def register_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        """Refuse: the worker container has the backend."""
        raise _wrong_role("worker_container", "RedisQueueWorkerContainer")


@dataclasses.dataclass(repr=False)
class RedisQueueWorkerContainer(JobFunctions, PackageFunctions, DockerContainer):
    """A supervisor with worker processes that take their tasks from the queue.

    It makes ``redis-queue`` joblib's default backend while it is registered, and exports to the
    user :meth:`executor`, :meth:`stats` and the lists of packages to install. The variables named
    in ``settings.py`` under :class:`QueueSettings` may be set in ``environment``; client and
    workers follow them. Packages act on workers that are started afterwards.

    Parameters
    ----------
    image, name, backend, max_worker_num, environment, secrets, command
        As in :class:`dockerparallel.DockerContainer`. One worker per container by default, so
        that scaling down is exact.
    pip_packages
        What pip installs before a worker takes work, such as ``"numpy>=2"``.
    system_packages
        What the package manager of the image installs before that; root in a container only.
    """

    image: str = DEFAULT_IMAGE
    name: str = "redis-queue-worker"
    backend: str = BACKEND_NAME
    command: list[str] | None = dataclasses.field(default_factory=lambda: _command("worker"))
    pip_packages: list[str] = dataclasses.field(default_factory=list)
    system_packages: list[str] = dataclasses.field(default_factory=list)

    # What the core asks for ------------------------------------------------------------------

    def server_container(self) -> RedisQueueServerContainer:
        """Return the server of the same image."""
        return RedisQueueServerContainer(image=self.image)

    def configure_server_env(self, cluster: DockerCluster) -> Self:
        """Refuse: this container is no server."""
        raise _wrong_role("server_container", "RedisQueueServerContainer")

    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        """Return a copy that knows queue, server, password (a secret), and what to install.

        Variables that limit the threads of numerical libraries to the worker's share of cores are
        added where the user has set none.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            ``worker_number`` is no whole number from 1 to ``max_worker_num``.
        SettingsError
            A variable of :class:`QueueSettings` has a value that cannot be used.
        ServerNotRunningError
            The cluster's server has no address for the workers.
        """
        check_int(
            "worker_number",
            worker_number,
            minimum=1,
            maximum=self.max_worker_num,
            hint="up to the max_worker_num of the container",
        )
        settings.QueueSettings.from_environment(self.full_environment())
        endpoint = cluster.server_address_for_workers()
        container = self.copy()
        container.environment |= {
            settings.SERVER_HOST: endpoint.host,
            settings.SERVER_PORT: str(endpoint.port),
            settings.JOB_QUEUE_NAME: cluster.config.job_queue_name,
            settings.WORKER_NUMBER: str(worker_number),
            settings.PIP_PACKAGES: json.dumps(self.pip_packages),
            settings.SYSTEM_PACKAGES: json.dumps(self.system_packages),
        }
        container.secrets[settings.PASSWORD] = cluster.config.server_password
        threads = str(max(1, cluster.config.worker_hardware.cpu // _UNITS_PER_CORE))
        for variable in settings.THREAD_LIMITS:
            container.environment.setdefault(variable, threads)
        return container

    def register_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        """Connect to the queue and make ``redis-queue`` joblib's default backend.

        Parameters
        ----------
        cluster
            The cluster.
        **options
            ``timeout`` (30): seconds for the server to answer. ``worker_timeout`` (15): seconds
            for a first worker to be there, where the cluster expects any; later ones only log a
            warning. ``worker_start_timeout`` (600): seconds that it is waited for while the
            provider says that workers initialize. ``server_timeout`` (5): seconds that the server
            may be silent before all open futures fail. ``memory_timeout`` (120): seconds that a
            submission waits for results to free memory where that of the server is full.

        Raises
        ------
        QueueConnectionError
            The server cannot be reached, refuses the password, or is no Redis server.
        PythonVersionError, ProtocolVersionError
            Workers run another minor version of Python than this session, or of this package one
            that does not fit.
        InvalidTypeError, InvalidValueError
            An option is unknown (the message lists them), or no positive number.
        """
        chosen = RegistrationOptions.parse(options)
        client = open_client(cluster, chosen)
        wait_for_worker(cluster, client, chosen)
        registration.make_default(cluster.state, client)
        cluster.logger.info("joblib computes on the cluster now (backend %r).", BACKEND_NAME)

    def deregister_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        """Restore joblib's default as it was before, and fail the futures still open."""
        if options:
            raise InvalidTypeError(
                f"Deregistering the redis-queue backend takes no options, not {sorted(options)}."
            )
        registration.drop(cluster.state)

    def write_build_context(self, folder: Path) -> dict[str, str] | None:
        """Write what the image is built of, where it is one of ``dockerparallel/redis-queue``.

        The variables ``DOCKERPARALLEL_BASE_IMAGE`` and ``DOCKERPARALLEL_WHEELHOUSE`` of the client
        choose the base and the wheels; see :meth:`DockerContainer.write_build_context`.
        """
        return ImageBuild.from_environment().write(folder) if is_ours(self.image) else None

    def check(self) -> None:
        """Refuse fields that no worker could run; see :meth:`DockerContainer.check`."""
        super().check()
        check_pip_packages(self.pip_packages)
        check_system_packages(self.system_packages)

    # What the user sees ----------------------------------------------------------------------

    @exported
    def executor(
        self, cluster: DockerCluster, job: str | None = None, **options: float
    ) -> ClusterExecutor:
        """Return a ``concurrent.futures.Executor`` over the workers; it keeps the cluster alive.

        Parameters
        ----------
        cluster
            The cluster.
        job
            The name of a new job that its tasks are to be. They then go on, and all results stay on
            the server, when this session ends, however it does: any session that is connected to
            the cluster can have them by :meth:`attach_job`. They take the server's memory until
            :meth:`remove_job`, or until nobody has heard of the job for a day (the variable
            ``DOCKERPARALLEL_RESULT_EXPIRY_SECONDS``). By default there is no job, and results go
            with the session.
        **options
            ``timeout``, ``server_timeout`` and ``memory_timeout``, in seconds, as in
            :meth:`register_parallel_backend`. They count where this makes the connection: all that
            is open on a cluster uses the same one, but for jobs.

        Raises
        ------
        ServerNotRunningError
            No server runs: start the cluster first.
        QueueConnectionError
            The server does not answer within ``timeout``.
        JobExistsError
            There is a job of that name.
        InvalidTypeError, InvalidValueError
            ``job`` cannot be a name, an option is unknown (the message lists them), or no positive
            number.
        """
        chosen = RegistrationOptions.parse(options)
        if job is None:
            return ClusterExecutor(open_client(cluster, chosen), cluster)
        request = JobRequest(check_identifier("job", job), "create")
        return ClusterExecutor(open_job(cluster, chosen, request), cluster)

    @exported
    def stats(self, cluster: DockerCluster) -> dict[str, Any]:
        """Return the numbers of the queue now; one round trip, cheap enough for each second.

        Returns
        -------
        dict
            ``waiting`` and ``running``: tasks now. Since the server's start: ``submitted``,
            ``done``, ``failed``, ``retried`` (tasks put back after a worker's death), ``died``
            (workers), ``task_bytes`` and ``result_bytes`` (sent as tasks, a part that many share
            once, and as results). All these are ints. ``tasks_per_second``: a float. ``workers``: a
            list of a dict per live worker with ``id``, ``host``, ``pid``, ``python``, ``done``,
            ``failed`` and ``tasks_per_second``. Speeds are of the time since the call before, or
            since the worker's start. A batch of joblib and a chunk of ``map`` count as one task.

        Raises
        ------
        ServerNotRunningError
            No server runs.
        QueueConnectionError
            The server does not answer.
        """
        with answering(cluster) as client:
            numbers = client.queue.numbers()
        return stats_of(numbers, client.speedometer.read(numbers))


def _wrong_role(argument: str, right: str) -> InvalidTypeError:
    return InvalidTypeError(
        f"This container cannot be the {argument} of a cluster: pass {argument}={right}()."
    )
