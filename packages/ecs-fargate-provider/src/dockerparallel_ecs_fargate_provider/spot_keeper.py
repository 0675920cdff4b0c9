"""Bringing workers back that AWS has taken the Spot capacity of, without being asked."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dockerparallel_ecs_fargate_provider.diagnosis import is_spot_interruption
from dockerparallel_ecs_fargate_provider.records import TaskRecord

if TYPE_CHECKING:
    from dockerparallel import DockerCluster
    from dockerparallel.state import ClusterState

DeadWorkers = Callable[["DockerCluster"], list[TaskRecord]]

LOOK_SECONDS = 15.0
"""Between two looks: an interruption is announced two minutes ahead."""


class SpotKeeper:
    """Looks now and then, in a thread, for interrupted workers, and updates the cluster then.

    The thread holds neither the cluster nor its state: it ends when these are gone, when the
    cluster is stopped, or with :meth:`stop`. It is not there in a forked child.

    Parameters
    ----------
    seconds
        Between two looks.
    """

    def __init__(self, seconds: float = LOOK_SECONDS) -> None:
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._replaced: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel, and be copied, as one that looks after nothing yet."""
        return type(self), (self._seconds,)

    def start(self, cluster: DockerCluster, dead_workers: DeadWorkers) -> None:
        """Begin to look after a cluster; idempotent.

        Parameters
        ----------
        dead_workers
            Called under the cluster's lock; asks ECS, and returns the tasks of workers that ended.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._run,
            args=(weakref.ref(cluster.state), type(cluster), dead_workers, self._ended),
            name=f"dockerparallel-spot-{cluster.config.job_queue_name}",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """End the looking; does not wait, as it may be called under the cluster's lock."""
        self._ended.set()

    def _run(
        self,
        reference: weakref.ref[ClusterState],
        handle_class: type[DockerCluster],
        dead_workers: DeadWorkers,
        ended: threading.Event,
    ) -> None:
        while not ended.wait(self._seconds):
            state = reference()
            if state is None or state.stopped:
                return
            try:
                self._look(handle_class.from_state(state), dead_workers)
            except Exception as error:  # noqa: BLE001 - the next look may succeed
                state.logger.warning("Interrupted workers could not be replaced: %s", error)
            del state

    def _look(self, cluster: DockerCluster, dead_workers: DeadWorkers) -> None:
        with cluster.state.lock:
            dead = [
                task
                for task in dead_workers(cluster)
                if is_spot_interruption(task.data) and task.id not in self._replaced
            ]
        if dead and not cluster.state.stopped:
            cluster.logger.info("Replacing %d interrupted task(s).", len(dead))
            self._replaced.update(task.id for task in dead)
            cluster.update()
