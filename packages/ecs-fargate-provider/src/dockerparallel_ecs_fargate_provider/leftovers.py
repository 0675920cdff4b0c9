"""Clusters that run in an ECS cluster, whoever started them, and ending forgotten ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from dockerparallel import InvalidValueError, StaticDataError
from dockerparallel_ecs_fargate_provider import tags
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.book import described, listed
from dockerparallel_ecs_fargate_provider.definitions import TaskDefinitions
from dockerparallel_ecs_fargate_provider.infrastructure import Infrastructure
from dockerparallel_ecs_fargate_provider.lease import Lease
from dockerparallel_ecs_fargate_provider.long_values import LongValues
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.ownership import Ownership
from dockerparallel_ecs_fargate_provider.records import Role, TaskRecord
from dockerparallel_ecs_fargate_provider.removal import Removal
from dockerparallel_ecs_fargate_provider.stopping import stop_tasks, wait_for_end
from dockerparallel_ecs_fargate_provider.store import ClusterStore

if TYPE_CHECKING:
    from dockerparallel.log import ClusterLogger


@dataclass(frozen=True)
class ECSCluster:
    """A cluster that runs, or of which something is left.

    Parameters
    ----------
    name
        ``job_queue_name``.
    owner
        ARN of who started it.
    created, expires
        When its lease began, and when it counts as forgotten; ``None`` where nothing tells.
    server
        How far the server's task is, empty where none lives.
    worker_number
        How many workers live.
    tasks
        Ids of the tasks that live.
    """

    name: str
    owner: str
    created: datetime | None
    expires: datetime | None
    server: str
    worker_number: int
    tasks: tuple[str, ...]

    @property
    def expired(self) -> bool:
        """Whether it counts as forgotten, so that ``gc`` removes it."""
        return self.expires is not None and self.expires < datetime.now(UTC)


@dataclass(frozen=True)
class ECSTask:
    """A task of ours that lives.

    Parameters
    ----------
    id, arn
        Its names at AWS.
    cluster
        ``job_queue_name`` of its cluster.
    role
        ``server`` or ``worker``.
    workers
        How many workers it runs.
    phase
        How far it is.
    owner
        ARN of who started it.
    created
        When it was asked for.
    spot
        Whether it runs on Spot capacity.
    """

    id: str
    arn: str
    cluster: str
    role: str
    workers: int
    phase: str
    owner: str
    created: datetime | None
    spot: bool


class Leftovers:
    """Looks at all clusters in one ECS cluster, and ends them.

    Parameters
    ----------
    aws, options
        Where to look.
    """

    def __init__(self, aws: AWS, options: Options) -> None:
        self._aws = aws
        self._options = options
        self._store = ClusterStore(aws, options, Ownership(aws, options))

    def tasks(self, role: Role | None = None, cluster: str | None = None) -> list[ECSTask]:
        """Return the tasks of ours that live, the oldest first."""
        return [
            ECSTask(
                id=task.id,
                arn=task.arn,
                cluster=task.cluster,
                role=task.role,
                workers=task.workers,
                phase=task.phase.value,
                owner=task.owner,
                created=task.created,
                spot=task.spot,
            )
            for task in self._living()
            if role in {None, task.role} and cluster in {None, task.cluster}
        ]

    def clusters(self) -> list[ECSCluster]:
        """Return all clusters, by name, those included of which only the lease is left."""
        leases = self._leases()
        by_name: dict[str, list[TaskRecord]] = {name: [] for name in leases}
        for task in self._living():
            by_name.setdefault(task.cluster, []).append(task)
        return [_summary(name, by_name[name], leases.get(name)) for name in sorted(by_name)]

    def end(self, name: str, logger: ClusterLogger | None = None) -> int:
        """End all tasks of a cluster and remove its secrets and lease; return how many tasks.

        Idempotent. Waits until its server has ended.

        Raises
        ------
        AWSError
            A task could not be told to end, or something of the cluster is still there.
        """
        tasks = [task for task in self._living() if task.cluster == name]
        failed = self._stop(tasks, name, logger)
        for error in failed.values():
            raise error
        for task in tasks:
            if task.role == Role.SERVER:
                wait_for_end(
                    self._aws,
                    self._options.cluster_name,
                    task.arn,
                    what=f"the server of {name}",
                    timeout=self._options.stop_timeout,
                )
        LongValues(self._aws, self._options).remove(name)
        try:
            lease = self._store.read_lease(name)
        except StaticDataError:
            # The name must be free, and nothing secret be left, all the same.
            lease = None
        if lease is None:
            self._store.remove_named(name)
        else:
            self._store.take(lease)
            self._store.remove()
        return len(tasks)

    def stop_tasks(self, wanted: Sequence[str]) -> list[str]:
        """End tasks of ours by their ids or ARNs; return those that were told.

        Raises
        ------
        InvalidValueError
            One is no task of ours that lives: nothing is ended then.
        AWSError
            One could not be told.
        """
        known = {task.id: task for task in self._living()}
        ids = [name.rpartition("/")[2] for name in wanted]
        strangers = [name for name in ids if name not in known]
        if strangers:
            raise InvalidValueError(
                f"{', '.join(strangers)} is no task of DockerParallel that lives in the ECS "
                f"cluster {self._options.cluster_name!r}. There are: {', '.join(known) or 'none'}."
            )
        failed = self._stop([known[name] for name in ids], "its user", None)
        for error in failed.values():
            raise error
        return ids

    def gc(self, *, deep: bool = False, logger: ClusterLogger | None = None) -> list[str]:
        """End the clusters whose lease has expired; return their names.

        Nothing else is touched. Safe to run at any time, by anybody who may. One that cannot be
        ended keeps none of the others.

        Parameters
        ----------
        deep
            Where no cluster is left at all, remove also what clusters share.

        Raises
        ------
        AWSError
            One of them could not be ended: the first error, with a note for each.
        """
        expired = [cluster.name for cluster in self.clusters() if cluster.expired]
        removal = Removal()
        for name in expired:
            removal.attempt(f"the cluster {name}", partial(self.end, name, logger))
        removal.finish()
        if deep and not self.clusters():
            self._store.remove_lost()
            TaskDefinitions(self._aws, self._options).remove()
            infrastructure = Infrastructure(self._aws, self._options)
            infrastructure.remove(logger, self._options.stop_timeout)
        return expired

    def _living(self) -> list[TaskRecord]:
        ecs_cluster = self._options.cluster_name
        found = described(self._aws, ecs_cluster, listed(self._aws, ecs_cluster))
        ours = [
            task
            for task in found
            if task.lives and task.tags.get(tags.INFRASTRUCTURE) == ecs_cluster
        ]
        return sorted(ours, key=lambda task: str(task.created))

    def _leases(self) -> dict[str, Lease]:
        names = self._store.parameters.names("clusters")
        leases = {}
        for full, text in self._store.parameters.read(names).items():
            name = full.rpartition("/")[2]
            try:
                leases[name] = Lease.parse(text, name)
            except StaticDataError:
                # Its tasks tell what there is; who ends it by its name removes the lease too.
                continue
        return leases

    def _stop(
        self, tasks: Sequence[TaskRecord], name: str, logger: ClusterLogger | None
    ) -> dict[str, Exception]:
        return stop_tasks(
            self._aws,
            self._options.cluster_name,
            [task.arn for task in tasks],
            f"Ended by {self._aws.identity.arn} for {name}",
            logger,
        )


def _summary(name: str, tasks: Sequence[TaskRecord], lease: Lease | None) -> ECSCluster:
    servers = [task for task in tasks if task.role == Role.SERVER]
    # Without a lease, the last task to expire decides.
    ends = [task.expires for task in tasks if task.expires is not None]
    starts = [task.created for task in tasks if task.created is not None]
    owners = [task.owner for task in tasks]
    return ECSCluster(
        name=name,
        owner=lease.owner if lease else next(iter(owners), ""),
        created=lease.created if lease else min(starts, default=None),
        expires=lease.expires if lease else max(ends, default=None),
        server=servers[-1].phase.value if servers else "",
        worker_number=sum(task.workers for task in tasks),
        tasks=tuple(task.id for task in tasks),
    )
