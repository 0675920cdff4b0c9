"""The life of a task: PROVISIONING, PENDING, RUNNING, and by several ways to STOPPED."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from dockerparallel_fargate_harness import moto_network
from dockerparallel_fargate_harness.addresses import PublicAddresses
from dockerparallel_fargate_harness.runtime import NoContainers, Runtime
from dockerparallel_fargate_harness.scheduler import Scheduler
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.task_logs import pull
from dockerparallel_fargate_harness.task_resources import StartFailureError, prepare
from dockerparallel_fargate_harness.tasks import Task, TaskContainer

STOP_SECONDS = 30.0
ESSENTIAL_ENDED = "Essential container in task exited"
SPOT_REASON = "Your Spot Task was interrupted."


class Lifecycle:
    """Leads every task through its states, in the threads of a scheduler.

    Parameters
    ----------
    state : State
        The shared state, whose lock it takes.
    scheduler : Scheduler
        Where the work is done.
    addresses : PublicAddresses
        Gives tasks their public addresses.
    runtime : callable, optional
        Makes the runtime, given what to call when a container has ended; by default one without
        containers.
    """

    def __init__(
        self,
        state: State,
        scheduler: Scheduler,
        addresses: PublicAddresses,
        runtime: Callable[[Callable[[str], None]], Runtime] = NoContainers,
    ) -> None:
        self._state = state
        self._scheduler = scheduler
        self._addresses = addresses
        self.runtime = runtime(self._ended)

    def begin(self, task: Task) -> None:
        """Start the life of a new task."""
        self._scheduler.later(
            self._state.settings.provisioning_seconds, lambda: self._provisioned(task)
        )

    def stop(self, task: Task, code: str, reason: str) -> None:
        """Stop a task as StopTask does; without effect where it stops already."""
        with self._state.lock:
            if task.desired_status == "STOPPED":
                return
            self._note_stop(task, code, reason)
            if task.phase == "waiting":
                self._over(task)
            elif task.phase == "running":
                self._scheduler.soon(lambda: self._terminate(task))
            # A task that is starting sees its desired status when it has started.

    def kill(self, task: Task) -> None:
        """Kill the containers of a task, as a crash of their programs would."""
        for container in task.containers:
            self.runtime.signal(container, "SIGKILL")

    def vanish(self, task: Task) -> None:
        """Remove a task and its containers without a trace, as if it had never been."""
        with self._state.lock:
            self._state.tasks.pop(task.arn, None)
            task.desired_status, task.phase = "STOPPED", "over"
            moto_network.delete_interface(task.region, task.network.interface)
            self._addresses.release(task)
        self.runtime.remove(task)

    def forget_all(self) -> None:
        """Forget all tasks, and remove their containers."""
        self._scheduler.forget()
        with self._state.lock:
            tasks = list(self._state.tasks.values())
        for task in tasks:
            self.vanish(task)

    def _provisioned(self, task: Task) -> None:
        with self._state.lock:
            if task.phase != "waiting" or task.desired_status == "STOPPED":
                return
            task.enter("PENDING", "connectivityAt", "pullStartedAt")
            task.network.status = "ATTACHED"
            try:
                prepare(task)
            except StartFailureError as error:
                self._fail(task, str(error))
                return
            except Exception as error:
                # A task that stays PENDING for ever would hide the fault from the test.
                self._fail(task, f"the harness failed: {error!r}")
                raise
            seconds = self._state.settings.pulling_seconds
        self._scheduler.later(seconds, lambda: self._pulled(task))

    def _pulled(self, task: Task) -> None:
        missing = [one for one in task.containers if not self.runtime.has_image(image_of(one))]
        with self._state.lock:
            if task.phase != "waiting" or task.desired_status == "STOPPED":
                return
            for container in missing:
                container.reason = (
                    "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
                    f"failed to resolve ref docker.io/{image_of(container)}: not found"
                )
                self._fail(task, container.reason)
                return
            task.enter("PENDING", "pullStoppedAt")
            task.phase = "starting"
        try:
            exposed = self.runtime.exposed_ports(image_of(task.containers[0]))
            self.runtime.start(task)
        except StartFailureError as error:
            with self._state.lock:
                self._fail(task, str(error))
            return
        except Exception as error:
            with self._state.lock:
                self._fail(task, f"the harness failed: {error!r}")
            raise
        with self._state.lock:
            if task.phase == "over":
                # It vanished while it started.
                self._scheduler.soon(lambda: self.runtime.remove(task))
                return
            task.phase = "running"
            self._addresses.assign(task, exposed)
            moto_network.set_addresses(task.region, task.network)
            if task.desired_status == "STOPPED":
                self._scheduler.soon(lambda: self._terminate(task))
            else:
                task.enter("RUNNING", "startedAt")
                for container in task.containers:
                    container.status = "RUNNING"
        # What ended before the task was running has not been collected.
        self._scheduler.soon(lambda: self._collect(task))

    def _terminate(self, task: Task) -> None:
        """Ask the containers of a task to end, and kill each whose time is up."""
        with self._state.lock:
            if task.phase != "running":
                return
            task.enter("STOPPING")
            alive = [one for one in task.containers if one.exit_code is None]
        for container in alive:
            grace = float(container.definition.get("stopTimeout") or STOP_SECONDS)
            kill = functools.partial(self.runtime.signal, container, "SIGKILL")
            self._scheduler.later(grace, kill)
            self.runtime.signal(container, "SIGTERM")

    def _ended(self, docker_id: str) -> None:
        with self._state.lock:
            found = [
                task
                for task in self._state.tasks.values()
                if any(container.docker_id == docker_id for container in task.containers)
            ]
        for task in found:
            self._scheduler.soon(functools.partial(self._collect, task))

    def _collect(self, task: Task) -> None:
        """Note which containers have ended, and stop the task where an essential one has."""
        ends = [(one, self.runtime.end_of(one)) for one in task.containers]
        if all(end is not None for _, end in ends):
            pull(self._state, self.runtime, task)
        with self._state.lock:
            if task.phase != "running":
                return
            for container, end in ends:
                if end is not None:
                    container.exit_code, container.reason = end.exit_code, end.reason
                    container.status = "STOPPED"
            ended = [one for one in task.containers if one.exit_code is not None]
            if any(one.essential for one in ended) or len(ended) == len(task.containers):
                if task.desired_status != "STOPPED":
                    self._note_stop(task, "EssentialContainerExited", ESSENTIAL_ENDED)
                if len(ended) < len(task.containers):
                    self._scheduler.soon(lambda: self._terminate(task))
                    return
                task.times.setdefault("executionStoppedAt", time.time())
                self._over(task)

    def _fail(self, task: Task, reason: str) -> None:
        if task.phase == "over":
            # It vanished while it started.
            return
        self._note_stop(task, "TaskFailedToStart", reason)
        self._over(task)

    def _note_stop(self, task: Task, code: str, reason: str) -> None:
        if task.desired_status == "STOPPED":
            return
        task.desired_status = "STOPPED"
        task.stop_code, task.stopped_reason = code, reason
        task.enter("DEACTIVATING", "stoppingAt")

    def _over(self, task: Task) -> None:
        """Let a task without running containers go; its interface goes when it is STOPPED."""
        task.phase = "over"
        task.enter("DEPROVISIONING", "stoppingAt")
        self._addresses.release(task)
        seconds = self._state.settings.deprovisioning_seconds
        self._scheduler.later(seconds, lambda: self._deprovisioned(task))

    def _deprovisioned(self, task: Task) -> None:
        self.runtime.remove(task)
        with self._state.lock:
            if not task.active:
                return
            moto_network.delete_interface(task.region, task.network.interface)
            task.network.status = "DELETED"
            for container in task.containers:
                container.status = "STOPPED"
            task.enter("STOPPED", "stoppedAt")


def image_of(container: TaskContainer) -> str:
    """Return the image of a container."""
    return str(container.definition["image"])
