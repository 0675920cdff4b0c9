"""What the provider tells its user of tasks: how far they are, and how they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dockerparallel import DockerParallelError
from dockerparallel_ecs_fargate_provider.diagnosis import Phase, explain_stop
from dockerparallel_ecs_fargate_provider.overrides import TIME_IS_UP
from dockerparallel_ecs_fargate_provider.records import TaskRecord
from dockerparallel_ecs_fargate_provider.task_logs import read_log
from dockerparallel_managed_provider import redacted

if TYPE_CHECKING:
    from dockerparallel import DockerCluster
    from dockerparallel_ecs_fargate_provider.deployment import Deployment

_TAIL_LINES = 20
_SHOWN = (Phase.REQUESTED, Phase.PROVISIONING, Phase.PULLING, Phase.RUNNING)


class Reporter:
    """Remembers what was told already.

    Parameters
    ----------
    deployment
        Of the provider, for logs.

    Attributes
    ----------
    ended
        ARNs of the tasks that we have ended, whose end is no news.
    forgotten
        Ids of the worker tasks that do not count any more.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.ended: set[str] = set()
        self.forgotten: set[str] = set()
        self._told: set[str] = set()
        self._phases: dict[str, dict[Phase, int]] = {}

    def tell_phases(
        self, cluster: DockerCluster, tasks: Sequence[TaskRecord], what: str = "Workers"
    ) -> None:
        """Log how far tasks are that are on their way, where that has changed."""
        alive = [task for task in tasks if task.lives]
        counts = Counter(dict.fromkeys(_SHOWN, 0))
        for task in alive:
            counts[task.phase] += task.workers or 1
        before = self._phases.get(what, {})
        self._phases[what] = dict(counts)
        on_the_way = sum(counts.values()) - counts[Phase.RUNNING]
        waited = sum(before.values()) - before.get(Phase.RUNNING, 0)
        shown = ", ".join(f"{counts[phase]} {phase}" for phase in _SHOWN if counts[phase])
        if shown and before != dict(counts) and (on_the_way or waited):
            cluster.logger.info("%s: %s.", what, shown)

    def tell_deaths(self, cluster: DockerCluster, tasks: Iterable[TaskRecord]) -> None:
        """Warn, once for each, of tasks that ended by themselves; those alike are told together."""
        alike: dict[tuple[object, ...], list[TaskRecord]] = {}
        for task in tasks:
            if not task.lives and task.arn not in self._told | self.ended:
                self._told.add(task.arn)
                key = (task.vanished, task.data.get("stopCode"), task.data.get("stoppedReason"))
                alike.setdefault(key, []).append(task)
        for group in alike.values():
            more = f" {len(group) - 1} more ended alike." if len(group) > 1 else ""
            cluster.logger.warning("%s%s", self.end_of(cluster, group[0]), more)

    def end_of(self, cluster: DockerCluster, task: TaskRecord) -> str:
        """Return how a task has ended, what to do, and the end of its log, without secrets."""
        if task.vanished:
            return f"The task {task.id} has gone: ECS does not know it any more."
        state = cluster.state
        container = state.worker_container if task.workers else state.server_container
        log = self._log(cluster, task)
        said = explain_stop(task.data, "" if container is None else container.image, log)
        hours = self._deployment.options.max_hours
        codes = {part.get("exitCode") for part in task.data.get("containers", ())}
        if hours is not None and TIME_IS_UP in codes:
            said = f"The {hours:g} hours of max_hours= are over. {said}"
        return redacted(cluster, said)

    def _log(self, cluster: DockerCluster, task: TaskRecord) -> str | None:
        group = self._deployment.log_group
        try:
            return read_log(self._deployment.aws, group, task.id, _TAIL_LINES)
        except DockerParallelError as error:
            # How it ended is worth telling without its log.
            cluster.logger.debug("The log of the task %s cannot be read: %s", task.id, error)
            return None
