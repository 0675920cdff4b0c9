"""Which cluster a provider runs, and what is made at AWS for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dockerparallel import ClusterExistsError, StaticDataError
from dockerparallel_ecs_fargate_provider import launch, tags
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.book import PREFIX, TaskBook, listed
from dockerparallel_ecs_fargate_provider.client_access import ClientAccess
from dockerparallel_ecs_fargate_provider.definitions import TaskDefinitions
from dockerparallel_ecs_fargate_provider.errors import AWSError
from dockerparallel_ecs_fargate_provider.infrastructure import Infrastructure, Site
from dockerparallel_ecs_fargate_provider.launch import Launch
from dockerparallel_ecs_fargate_provider.long_values import LongValues, check_long_values
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.overrides import (
    limited_command,
    overrides,
    split_environment,
)
from dockerparallel_ecs_fargate_provider.ownership import Ownership
from dockerparallel_ecs_fargate_provider.packing import TaskShape
from dockerparallel_ecs_fargate_provider.records import Role, TaskRecord
from dockerparallel_ecs_fargate_provider.store import ClusterStore, fits
from dockerparallel_managed_provider import lasting

if TYPE_CHECKING:
    from dockerparallel import DockerCluster, DockerContainer

Order = tuple["DockerContainer", TaskShape, bool]
"""A configured container, the tasks to run it in, and whether those are on Spot capacity."""


class Deployment:
    """The cluster of one provider: none at first, then the one that it started or took over.

    Parameters
    ----------
    aws, options
        Of the provider.
    """

    def __init__(self, aws: AWS, options: Options) -> None:
        self.aws = aws
        self.options = options
        self.ownership = Ownership(aws, options)
        self.infrastructure = Infrastructure(aws, options)
        self.store = ClusterStore(aws, options, self.ownership)
        self.long_values = LongValues(aws, options)
        self.definitions = TaskDefinitions(aws, options)
        self.book = TaskBook(aws, options.cluster_name, options.poll_interval)
        self.access = ClientAccess(self.infrastructure, options)
        self._site: Site | None = None
        self._stored: dict[str, Any] | None = None
        # A cluster that was taken over without its lease, to be ended.
        self._orphan: str | None = None

    @property
    def name(self) -> str:
        """``job_queue_name`` of our cluster; empty where there is none."""
        return "" if self.store.lease is None else self.store.lease.cluster

    @property
    def log_group(self) -> str:
        """Where tasks print to."""
        return self.infrastructure.log_group_name

    def runs(self, name: str) -> bool:
        """Tell whether a task of a cluster of this name runs, or is to run; one call."""
        return bool(listed(self.aws, self.options.cluster_name, most=1, startedBy=PREFIX + name))

    # Beginning and ending -------------------------------------------------------------------

    def begin(self, cluster: DockerCluster) -> None:
        """Have a cluster: ours, where there is one already, else a new one.

        Raises
        ------
        ClusterExistsError
            Another session runs, or is starting, a cluster of this name.
        """
        if self.store.lease is not None:
            return
        name = cluster.config.job_queue_name
        if self.runs(name):
            raise ClusterExistsError(
                f"Another session runs a cluster {name!r} in the ECS cluster "
                f"{self.options.cluster_name!r}: choose another job_queue_name, or call "
                "start(if_exists=...)."
            )
        self.ownership.begin()
        self._stored = None
        self.book.follow(name)
        self.store.begin(name)
        self.book.only(self.store.cluster_id)

    def take_named(self, name: str) -> None:
        """Make a cluster that runs ours, by its lease.

        Raises
        ------
        StaticDataError
            Its lease is gone, or cannot be read; by its name its tasks can be ended all the same.
        """
        self._stored, self._orphan = None, name
        lease = self.store.read_lease(name)
        if lease is None:
            raise StaticDataError(
                f"The lease of the cluster {name!r} is gone, and with it its password: end its "
                f"tasks by 'python -m dockerparallel_ecs_fargate_provider stop {name}', and start "
                "it anew."
            )
        self.store.take(lease)
        self.book.only(lease.cluster_id)
        self._orphan = None

    def site(self, cluster: DockerCluster) -> Site:
        """Return where tasks run, found or made; the same for the life of the cluster."""
        if self._site is None:
            self._site = self.infrastructure.ensure(self.store.tags, cluster.logger)
        return self._site

    def keep(self, cluster: DockerCluster) -> None:
        """Store the static data as it is now, unless it is stored already."""
        now = cluster.static_data()
        if self._stored != lasting(now):
            self.store.put_static_data(now)
            self._stored = lasting(now)

    def end(self, cluster: DockerCluster) -> None:
        """Remove what was made for the cluster alone; idempotent."""
        name = self.name
        if name:
            self.long_values.remove(name, self.store.cluster_id)
            self.store.remove()
        elif self._orphan is not None:
            self.long_values.remove(self._orphan)
            self.store.remove_named(self._orphan)
        others_run = self.others_run()
        self.access.shut(others_run)
        if name and cluster.state.starting:
            self._undo(cluster, others_run)
        self._site, self._stored, self._orphan = None, None, None

    def others_run(self) -> bool:
        """Tell whether somebody has, or starts, another cluster in the ECS cluster."""
        return bool(self.store.parameters.names("clusters"))

    def _undo(self, cluster: DockerCluster, others_run: bool) -> None:
        made_by = self.ownership.made_by
        if others_run:
            cluster.logger.info("What the failed start has made stays: others use it.")
            return
        self.definitions.undo(made_by)
        self.infrastructure.undo(made_by, cluster.logger)

    # Starting tasks -------------------------------------------------------------------------

    def run(self, cluster: DockerCluster, role: Role, orders: Sequence[Order]) -> list[TaskRecord]:
        """Start tasks, and return those that were started.

        Raises
        ------
        LaunchError, AWSError
            Not all were started; those that were are in the book.
        """
        site = self.site(cluster)
        started: list[TaskRecord] = []

        def note(described: list[dict[str, Any]]) -> None:
            started.extend(self.book.note(described))

        for attempt in (1, 2):
            try:
                launch.run(
                    self.aws,
                    self.options.cluster_name,
                    [self._launch(site, role, *order) for order in orders],
                    note=note,
                    tell=lambda done, calls: cluster.logger.info(
                        "Asked for tasks: %d of %d calls.", done, calls
                    ),
                    patient_with_roles=self.options.execution_role_arn is None,
                )
                break
            except AWSError as error:
                # Somebody has deregistered the definition since we looked.
                gone = "inactive" in error.text.lower()
                if started or not gone or attempt == 2:  # noqa: PLR2004
                    self._find_started(cluster)
                    raise
                self.definitions.forget()
        self.store.note_launched()
        return started

    def _find_started(self, cluster: DockerCluster) -> None:
        """Come to know tasks that were started by calls whose answers were lost."""
        try:
            self.book.refresh(now=True)
        except AWSError as error:
            # Why the start has failed matters more.
            cluster.logger.debug("ECS does not tell which tasks were started: %s", error)

    def _launch(
        self, site: Site, role: Role, container: DockerContainer, shape: TaskShape, spot: bool
    ) -> Launch:
        ours = self.store.tags
        plain = {k: v for k, v in container.environment.items() if k not in container.secrets}
        command = limited_command(container.command, self.options.max_hours)
        inside, outside = split_environment(command, plain)
        secret = {k: v for k, v in container.secrets.items() if fits(v)}
        longer = {k: v for k, v in container.secrets.items() if not fits(v)} | outside
        references: dict[str, str] = self.store.put_secrets(role, secret)
        if longer:
            references |= self.long_values.put(self.name, longer, ours)
        return Launch(
            number=shape.count,
            definition=self.definitions.ensure(container.image, references, site, ours),
            overrides=overrides(shape.size, command, inside),
            tags=tags.lowercase({**ours, **_shape_tags(role, shape)}),
            started_by=self.book.started_by,
            network={
                "awsvpcConfiguration": {
                    "subnets": list(site.subnet_ids),
                    "securityGroups": [site.security_group_id],
                    "assignPublicIp": "ENABLED" if self.options.assign_public_ip else "DISABLED",
                }
            },
            spot=spot,
        )


def check_container(container: DockerContainer, options: Options) -> None:
    """Refuse a container of which something is too long for AWS; asks AWS nothing.

    Raises
    ------
    InvalidValueError
        A variable, a secret or the command is; or ``max_hours`` has no command to limit.
    """
    command = limited_command(container.command, options.max_hours)
    _, outside = split_environment(command, container.environment)
    check_long_values({**outside, **container.secrets})


def _shape_tags(role: Role, shape: TaskShape) -> Mapping[str, str]:
    return {
        tags.ROLE: role.value,
        tags.WORKERS: str(shape.workers if role is Role.WORKER else 0),
        tags.CPU: str(shape.size.cpu),
        tags.MEMORY: str(shape.size.memory),
    }
