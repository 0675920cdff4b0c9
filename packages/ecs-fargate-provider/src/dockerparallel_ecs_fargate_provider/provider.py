"""The provider that runs tasks of Amazon ECS on AWS Fargate."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

import boto3

from dockerparallel import (
    Capability,
    ClusterNotFoundError,
    ServerAddress,
    StaticDataError,
    Status,
)
from dockerparallel.validation import check_optional_str
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.deployment import Deployment, check_container
from dockerparallel_ecs_fargate_provider.diagnosis import is_spot_interruption
from dockerparallel_ecs_fargate_provider.exports import Exports
from dockerparallel_ecs_fargate_provider.keeper import Keeper
from dockerparallel_ecs_fargate_provider.messages import Reporter
from dockerparallel_ecs_fargate_provider.options import (
    CHECKIP_URL,
    CHECKIP_VARIABLE,
    checked_options,
    checked_prices,
    checked_session,
)
from dockerparallel_ecs_fargate_provider.packing import TaskShape
from dockerparallel_ecs_fargate_provider.prices import PriceTable
from dockerparallel_ecs_fargate_provider.records import Role, TaskRecord
from dockerparallel_ecs_fargate_provider.server_place import ServerPlace
from dockerparallel_ecs_fargate_provider.sizes import check_hardware, smallest_size
from dockerparallel_ecs_fargate_provider.stopping import stop_tasks, wait_for_end
from dockerparallel_ecs_fargate_provider.worker_orders import worker_orders
from dockerparallel_managed_provider import ManagedCloudProvider

if TYPE_CHECKING:
    from dockerparallel import DockerCluster, DockerContainer, DockerHardware, WorkerNumbers


class ECSFargateProvider(Exports, ManagedCloudProvider):
    """Runs the server and the workers of a cluster as tasks of Amazon ECS on AWS Fargate.

    What the account lacks is made at the first start, tagged, and used again: an ECS cluster, a
    network, a security group that lets in this session and the group itself and nobody else, an
    execution role and a log group. What the user gives is verified and never changed. Passwords,
    other secrets and the cluster's static data are encrypted parameters of SSM; they cost nothing.

    Parameters
    ----------
    cluster_name
        Name of the ECS cluster, which several clusters may share.
    region
        Where to compute; by default that of ``session`` or boto3's.
    vpc_id, subnet_ids, security_group_id
        A network of yours; by default one is made. Subnets must reach the image registry.
    task_role_arn
        Role whose permissions the tasks have; none by default.
    execution_role_arn
        Role by which ECS itself fetches image and secrets and writes logs; by default it is made.
    assign_public_ip
        Whether tasks have public addresses. Without, subnets of yours are needed, and the
        session must reach the tasks' private addresses.
    spot
        ``True``, or the share of worker tasks that run on Spot capacity, which costs less and may
        be taken back at two minutes' notice: then it is replaced. The server never does.
    architecture
        ``"X86_64"`` or ``"ARM64"``, which the image must fit.
    log_group
        A CloudWatch log group of yours; by default it is made.
    tags
        For everything that is made.
    endpoint_url
        Where all services answer, for private endpoints and tests.
    session
        Where credentials come from; by default boto3's usual places.
    client_cidr
        The addresses that the server lets in: a network, or a function that returns it. By
        default the address from which this session comes, which ``checkip_url`` tells.
    checkip_url
        Answers with the address from which it was asked, as plain text; by default the variable
        ``DOCKERPARALLEL_CHECKIP_URL``, else ``https://checkip.amazonaws.com``.
    kms_key_id
        Key by which secrets are encrypted; by default that of the account.
    lifetime_hours
        After so long without a sign of its owner, a cluster counts as forgotten, and ``gc``
        removes it.
    max_hours
        After so long each task ends by itself, whatever it does and whoever is gone, so that the
        bill has a limit; workers whose server has ended end soon after it. It is kept by the
        program ``timeout`` of the image (of GNU coreutils or busybox). No limit by default.
    prices
        What things cost; by default the published prices of us-east-1.
    poll_interval
        Seconds between two looks at tasks that change; they are longer for many tasks, and where
        nothing changes.
    start_timeout
        Seconds for AWS to give the server an address.
    stop_timeout
        Seconds for a server to end, and for AWS to let go of a network that is removed.

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
        cluster_name: str = "dockerparallel",
        region: str | None = None,
        vpc_id: str | None = None,
        subnet_ids: Iterable[str] | None = None,
        security_group_id: str | None = None,
        task_role_arn: str | None = None,
        execution_role_arn: str | None = None,
        assign_public_ip: bool = True,
        spot: bool | float = False,
        architecture: str = "X86_64",
        log_group: str | None = None,
        tags: Mapping[str, str] | None = None,
        endpoint_url: str | None = None,
        session: boto3.Session | None = None,
        *,
        client_cidr: str | Callable[[], str] | None = None,
        checkip_url: str | None = None,
        kms_key_id: str | None = None,
        lifetime_hours: float = 24.0,
        max_hours: float | None = None,
        prices: PriceTable | None = None,
        poll_interval: float = 1.0,
        start_timeout: float = 600.0,
        stop_timeout: float = 120.0,
    ) -> None:
        options = checked_options(
            {
                "cluster_name": cluster_name,
                "region": region,
                "vpc_id": vpc_id,
                "subnet_ids": subnet_ids,
                "security_group_id": security_group_id,
                "task_role_arn": task_role_arn,
                "execution_role_arn": execution_role_arn,
                "assign_public_ip": assign_public_ip,
                "spot": spot,
                "architecture": architecture,
                "log_group": log_group,
                "tags": tags,
                "client_cidr": client_cidr,
                "checkip_url": checkip_url or os.environ.get(CHECKIP_VARIABLE) or CHECKIP_URL,
                "kms_key_id": kms_key_id,
                "lifetime_hours": lifetime_hours,
                "max_hours": max_hours,
                "poll_interval": poll_interval,
                "start_timeout": start_timeout,
                "stop_timeout": stop_timeout,
            }
        )
        aws = AWS(
            checked_session(session),
            options.region,
            check_optional_str("endpoint_url", endpoint_url),
        )
        self._options = options
        self._prices = checked_prices(prices)
        self._deployment = Deployment(aws, options)
        self._server = ServerPlace(self._deployment)
        self._reporter = Reporter(self._deployment)
        self._keeper = Keeper()

    # The server -----------------------------------------------------------------------------

    def initialize(self, cluster: DockerCluster) -> None:
        """See that AWS can be called, and that what the user gave exists and fits.

        Raises
        ------
        CredentialsError, AWSPermissionError, AWSUnreachableError
            AWS cannot be called; the message says what to do.
        ResourceError
            A given resource is missing or does not fit.
        """
        aws = self._deployment.aws
        cluster.logger.debug("Calling AWS in %s as %s.", aws.region, aws.identity.arn)
        self._deployment.infrastructure.verify()
        note = self._prices.note(aws.region)
        if note is not None:
            cluster.logger.debug("%s", note)

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        """Start the server's task, and let this session reach its port.

        Makes what the account lacks, first.

        Raises
        ------
        InvalidValueError
            No size of Fargate is enough for the server, or for one worker; or a variable, secret
            or command is too long.
        ClusterExistsError
            Another session has started a cluster of this name meanwhile.
        LaunchError, AWSError
            AWS does not start it.
        """
        check_hardware("server", hardware)
        check_container(container, self._options)
        if cluster.config.expected_worker_number:
            # Before a server runs in vain.
            check_hardware("worker", cluster.config.worker_hardware)
            check_container(cluster.state.worker_container, self._options)
        deployment = self._deployment
        deployment.begin(cluster)
        self.stop_server(cluster)
        site = deployment.site(cluster)
        if not self._options.assign_public_ip and not cluster.config.server_client_same_lan:
            cluster.logger.info("The server has a private address only, which is used from here.")
            cluster.config.server_client_same_lan = True
        deployment.access.open(site, cluster.config.server_port, deployment.store.tags)
        deployment.keep(cluster)
        shape = TaskShape(1, smallest_size(hardware.cpu, hardware.memory), 1)
        if shape.size != (hardware.cpu, hardware.memory):
            cluster.logger.info(
                "Fargate has no size of %d CPU units and %d MiB: the server gets %s.",
                hardware.cpu,
                hardware.memory,
                shape.size,
            )
        deployment.run(cluster, Role.SERVER, [(container, shape, False)])

    def stop_server(self, cluster: DockerCluster) -> None:
        """End the server's task, and wait until its container has ended; idempotent.

        Raises
        ------
        AWSTimeoutError
            It does not end.
        AWSError
            AWS refuses.
        """
        left = [task for task in self._deployment.book.tasks(Role.SERVER) if task.lives]
        failed = self._end(cluster, left)
        for error in failed.values():
            raise error
        for task in left:
            wait_for_end(
                self._deployment.aws,
                self._options.cluster_name,
                task.arn,
                what="the server",
                timeout=self._options.stop_timeout,
            )

    def server_status(self, cluster: DockerCluster) -> Status:
        """Return INITIALIZING until the server accepts connections, STOPPED once it has ended."""
        return self._server.status(cluster)

    def server_stop_reason(self, cluster: DockerCluster) -> str:
        """Return how the server's task has ended, and the end of its log."""
        tasks = self._deployment.book.tasks(Role.SERVER)
        return self._reporter.end_of(cluster, tasks[-1]) if tasks else "It has no task any more."

    def server_address(self, cluster: DockerCluster) -> ServerAddress:
        """Return the addresses of the server's task, as soon as AWS has given them to it.

        Raises
        ------
        TaskFailedError
            The task has ended instead; the message says how.
        AWSTimeoutError
            It got none within ``start_timeout``.
        """
        return self._server.address(cluster, self._reporter)

    # The workers ----------------------------------------------------------------------------

    def run_worker_containers(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> list[str]:
        """Start tasks of up to ``container.max_worker_num`` workers each, in the cheapest sizes.

        Raises
        ------
        InvalidValueError
            No size of Fargate is enough for one worker; or a variable, secret or command is too
            long.
        ClusterExistsError
            Another session has started a cluster of this name meanwhile.
        LaunchError, AWSError
            AWS does not start all of them; those that it started are known.
        """
        check_hardware("worker", hardware)
        check_container(container, self._options)
        deployment = self._deployment
        deployment.begin(cluster)
        deployment.keep(cluster)
        orders = worker_orders(
            cluster,
            container,
            hardware,
            worker_number,
            spot=self._options.spot,
            living=[task for task in deployment.book.tasks(Role.WORKER) if task.lives],
            rates=self._prices.rates(self._options.architecture),
            per_task=self._address_hour,
        )
        started = deployment.run(cluster, Role.WORKER, orders)
        self._keeper.start(cluster, self._look_after)
        return [task.id for task in started for _ in range(task.workers)]

    def set_worker_number(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> None:
        """Start or end tasks, after a look at what other sessions have started and ended."""
        self._deployment.book.refresh(now=True)
        if worker_number:
            self._deployment.store.renew()
        super().set_worker_number(cluster, container, hardware, worker_number)

    def worker_numbers(self, cluster: DockerCluster) -> WorkerNumbers:
        """Count the workers; asks ECS seldom, and tells how far they are."""
        numbers = super().worker_numbers(cluster)
        self._reporter.tell_phases(cluster, self._deployment.book.tasks(Role.WORKER))
        return numbers

    def worker_status(self, cluster: DockerCluster, handles: list[str]) -> list[Status]:
        """Return the status of each task as ECS last told it, STOPPED for unknown ones.

        A warning tells, once, how tasks ended by themselves, and the end of a log.
        """
        self._deployment.book.refresh()
        known = self._workers()
        self._reporter.tell_deaths(cluster, known.values())
        return [known[h].status if h in known else Status.STOPPED for h in handles]

    def kill_worker_containers(self, cluster: DockerCluster, handles: list[str]) -> list[bool]:
        """Tell tasks to end, several calls at a time."""
        known = self._workers()
        wanted = [known[handle] for handle in handles if handle in known and known[handle].lives]
        failed = {arn.rpartition("/")[2] for arn in self._end(cluster, wanted)}
        return [handle not in failed for handle in handles]

    def worker_names(self, cluster: DockerCluster) -> list[str]:
        """Return the ARNs of the tasks whose workers live."""
        return [task.arn for task in self._deployment.book.tasks(Role.WORKER) if task.lives]

    def worker_handles(self) -> list[str]:
        """Return the ids of the tasks that live or were not noticed to have ended."""
        forgotten = self._reporter.forgotten
        return [
            task.id
            for task in self._deployment.book.tasks(Role.WORKER)
            if task.id not in forgotten
            for _ in range(task.workers)
        ]

    def add_worker_handles(self, handles: Iterable[str]) -> None:
        """Do nothing: ECS has a tag on each task."""

    def remove_worker_handles(self, handles: Iterable[str]) -> None:
        """Forget tasks as workers; what they cost stays known."""
        self._reporter.forgotten.update(handles)

    def _workers(self) -> dict[str, TaskRecord]:
        return {task.id: task for task in self._deployment.book.tasks(Role.WORKER)}

    def _look_after(self, cluster: DockerCluster) -> bool:
        """Renew the lease in time, and tell whether Spot capacity was taken back."""
        self._deployment.store.renew()
        if not any(task.spot for task in self._workers().values()):
            return False
        self._deployment.book.refresh()
        workers = self._workers()
        self._reporter.tell_deaths(cluster, workers.values())
        # Those of which the cluster was updated since are forgotten.
        known = set(self.worker_handles())
        return any(is_spot_interruption(workers[handle].data) for handle in known)

    def _end(self, cluster: DockerCluster, tasks: list[TaskRecord]) -> dict[str, Exception]:
        """Tell tasks to end; return those that could not be told, by ARN, with a warning each."""
        arns = [task.arn for task in tasks]
        failed = stop_tasks(
            self._deployment.aws,
            self._options.cluster_name,
            arns,
            f"Stopped by DockerParallel for {cluster.config.job_queue_name}",
            cluster.logger,
        )
        self._deployment.book.note_stopped(arn for arn in arns if arn not in failed)
        self._reporter.ended.update(arn for arn in arns if arn not in failed)
        for arn, error in failed.items():
            cluster.logger.warning("The task %s could not be stopped: %s", arn, error)
        return failed

    # The cluster ----------------------------------------------------------------------------

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        """Tell whether a task of a cluster of this name runs, or is to run; one call."""
        return self._deployment.runs(cluster.config.job_queue_name)

    def reconnect(self, cluster: DockerCluster) -> None:
        """Take over the cluster of this name; its static data is in the parameter store.

        Raises
        ------
        ClusterNotFoundError
            It has ended meanwhile.
        StaticDataError
            Its static data cannot be read, or is gone.
        """
        deployment = self._deployment
        name = cluster.config.job_queue_name
        deployment.book.follow(name)
        deployment.book.refresh(now=True)
        if not any(task.lives for task in deployment.book.tasks()):
            raise ClusterNotFoundError(f"The cluster {name!r} has ended meanwhile: call start().")
        try:
            deployment.take_named(name)
            cluster.set_static_data(deployment.store.static_data())
        except StaticDataError:
            if not cluster.state.any_container_class:
                raise
            # The cluster is being removed, for which its name is enough.
            cluster.logger.debug("Removing a cluster whose static data is gone.")
            return
        self._server.let_client_in(cluster)
        deployment.store.renew()
        self._keeper.start(cluster, self._look_after)

    def cleanup(self, cluster: DockerCluster, deep: bool = False) -> None:
        """Remove the secrets, the lease and the rule of this cluster.

        After a start that failed, also what it made that others could use.

        Parameters
        ----------
        deep
            Remove also all that was made for the ECS cluster, unless other clusters run in it.

        Raises
        ------
        AWSError
            Something of it is still there.
        """
        deployment = self._deployment
        self._keeper.stop()
        deployment.end(cluster)
        if not deep:
            return
        if deployment.others_run():
            cluster.logger.warning(
                "Other clusters use the ECS cluster %r: what they share with this one stays.",
                self._options.cluster_name,
            )
            return
        deployment.store.remove_lost()
        deployment.definitions.remove()
        deployment.infrastructure.remove(cluster.logger, self._options.stop_timeout)
