"""What the provider shows to its users: tasks, logs, costs, and clusters left behind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dockerparallel import InvalidValueError, exported
from dockerparallel.validation import check_bool, check_int, check_job_queue_name
from dockerparallel_ecs_fargate_provider import cost as costs
from dockerparallel_ecs_fargate_provider.cost import Billable, Cost, Estimate
from dockerparallel_ecs_fargate_provider.deployment import Deployment
from dockerparallel_ecs_fargate_provider.leftovers import ECSCluster, ECSTask, Leftovers
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.packing import pack
from dockerparallel_ecs_fargate_provider.prices import PriceTable
from dockerparallel_ecs_fargate_provider.records import Role, TaskRecord
from dockerparallel_ecs_fargate_provider.shown import shown_environment
from dockerparallel_ecs_fargate_provider.sizes import smallest_size
from dockerparallel_ecs_fargate_provider.task_logs import read_log

if TYPE_CHECKING:
    from dockerparallel import DockerCluster


class Exports:
    """The exported part of the provider; may be called from any thread."""

    _deployment: Deployment
    _options: Options
    _prices: PriceTable

    @exported
    def tasks(self, cluster: DockerCluster) -> dict[str, str]:
        """Return the ARNs of the cluster's tasks that live, by their ids; ``server`` is one."""
        return {
            "server" if task.role == Role.SERVER else task.id: task.arn
            for task in self._own_tasks(cluster)
            if task.lives
        }

    @exported
    def logs(
        self, cluster: DockerCluster, name: str | None = None, lines: int | None = None
    ) -> str:
        """Return what a task has printed, or all of them under a heading each.

        Parameters
        ----------
        name
            ``"server"``, or the id of a task, also of one that has ended; all by default.
        lines
            How many of the last lines of each, at least 1; all by default.

        Raises
        ------
        InvalidValueError
            The cluster has no such task; the message lists those it has.
        AWSError
            AWS refused a call.
        """
        if lines is not None:
            check_int("lines", lines, minimum=1)
        known = {
            "server" if task.role == Role.SERVER else task.id: task
            for task in self._own_tasks(cluster)
        }
        if name is not None and name not in known:
            raise InvalidValueError(
                f"There is no task {name!r}. There are: {', '.join(known) or 'none'}."
            )
        aws, group = self._deployment.aws, self._deployment.log_group
        if name is not None:
            return read_log(aws, group, known[name].id, lines) or ""
        return "\n".join(
            f"==> {shown} <==\n{read_log(aws, group, task.id, lines) or ''}"
            for shown, task in known.items()
        )

    @exported
    def shown_environment(self, cluster: DockerCluster) -> list[str]:
        """Return what everybody who may describe the cluster's tasks sees of their environment.

        Each item is a variable and its value, of the overrides of a task or of a definition.
        Secrets are not among them: of those a definition has the place alone.
        """
        return shown_environment(self._deployment.aws, self._own_tasks(cluster))

    @exported
    def cost(self, cluster: DockerCluster) -> Cost:
        """Return what the tasks of this cluster have cost so far, and cost per hour.

        It knows the tasks that this session has seen, those that have ended included; ECS forgets
        a task an hour after its end. Reads the state of tasks, at most once in a poll interval.
        """
        bills = [self._billable(task) for task in self._own_tasks(cluster)]
        region = self._deployment.aws.region
        return costs.cost_of(bills, datetime.now(UTC), self._prices, region=region)

    @exported
    def estimate(
        self, cluster: DockerCluster, hours: float = 1.0, worker_number: int | None = None
    ) -> Estimate:
        """Return what the cluster would cost; asks AWS nothing, so it is good before the start.

        Parameters
        ----------
        hours
            For how long.
        worker_number
            With how many workers; by default as many as are expected.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            A number is none or out of range, or no size of Fargate is enough for one worker.
        """
        config, options = cluster.config, self._options
        number = config.expected_worker_number if worker_number is None else worker_number
        shapes = pack(
            config.worker_hardware,
            number,
            cluster.state.worker_container.max_worker_num,
            self._prices.rates(options.architecture),
            per_task=self._address_hour,
        )
        server = None
        if not cluster.runtime.server_from_other_source:
            server = smallest_size(config.server_hardware.cpu, config.server_hardware.memory)
        return costs.estimate(
            shapes,
            server,
            hours,
            self._prices,
            spot_share=options.spot,
            public_ip=options.assign_public_ip,
            architecture=options.architecture,
            region=self._deployment.aws.region,
        )

    @exported
    def list_clusters(self) -> list[ECSCluster]:
        """Return all clusters in this ECS cluster, those of crashed sessions included."""
        return self._leftovers.clusters()

    @exported
    def list_servers(self) -> list[ECSTask]:
        """Return the server tasks that live, of all clusters."""
        return self._leftovers.tasks(Role.SERVER)

    @exported
    def list_workers(self) -> list[ECSTask]:
        """Return the worker tasks that live, of all clusters."""
        return self._leftovers.tasks(Role.WORKER)

    @exported
    def stop_tasks(self, *tasks: str) -> list[str]:
        """End tasks of ours, by their ids or ARNs; return the ids.

        Raises
        ------
        InvalidValueError
            One is no task of ours that lives; nothing is ended then.
        """
        return self._leftovers.stop_tasks(tasks)

    @exported
    def remove_cluster(self, name: str) -> int:
        """End all tasks of a cluster and remove its secrets, whoever started it. Idempotent.

        Parameters
        ----------
        name
            Its ``job_queue_name``; :meth:`list_clusters` tells those there are.

        Returns
        -------
        int
            How many tasks were ended.
        """
        return self._leftovers.end(check_job_queue_name(name))

    @exported
    def gc(self, deep: bool = False) -> list[str]:
        """End the clusters whose lease has expired, and nothing else; return their names.

        Parameters
        ----------
        deep
            Where no cluster is left at all, remove also what clusters share.
        """
        return self._leftovers.gc(deep=check_bool("deep", deep))

    @property
    def _leftovers(self) -> Leftovers:
        return Leftovers(self._deployment.aws, self._options)

    @property
    def _address_hour(self) -> float:
        """What the public address of a task costs an hour."""
        return self._prices.public_ip_hour if self._options.assign_public_ip else 0.0

    def _own_tasks(self, cluster: DockerCluster) -> list[TaskRecord]:
        """Return the tasks of our cluster, as ECS has told them at most a moment ago."""
        with cluster.state.lock:
            self._deployment.book.refresh()
            return self._deployment.book.tasks()

    def _billable(self, task: TaskRecord) -> Billable:
        return Billable(
            handle="server" if task.role == Role.SERVER else task.id,
            role=task.role,
            workers=task.workers,
            size=task.size,
            spot=task.spot,
            public_ip=self._options.assign_public_ip,
            architecture=self._options.architecture,
            billed_from=task.moment("pullStartedAt"),
            billed_to=task.billed_to,
        )
