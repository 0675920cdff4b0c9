"""Bring what containers write into the log streams of moto."""

from __future__ import annotations

from dockerparallel_fargate_harness import moto_state
from dockerparallel_fargate_harness.runtime import Runtime
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.task_resources import log_of
from dockerparallel_fargate_harness.tasks import Task
from dockerparallel_fargate_harness.wire import AwsRequest

READING_ACTIONS = frozenset({"GetLogEvents", "FilterLogEvents", "DescribeLogStreams"})


def pull(state: State, runtime: Runtime, task: Task) -> None:
    """Put what the containers of a task have written since the last time into their streams."""
    for container in task.containers:
        where = log_of(task, container)
        if where is None or not container.docker_id or task.phase != "running":
            continue
        lines = runtime.lines(container)
        with state.lock:
            fresh = lines[container.shown_of_log :]
            container.shown_of_log = max(container.shown_of_log, len(lines))
            events, newest = [], 0
            for line in fresh:
                # stdout and stderr are two streams, and CloudWatch wants the order of time.
                newest = max(newest, line.milliseconds)
                if line.text:
                    events.append({"timestamp": newest, "message": line.text})
            moto_state.put_log_events(task.region, *where, events)


def pull_for(state: State, runtime: Runtime, request: AwsRequest) -> None:
    """Bring the logs up to date for which a call of CloudWatch Logs asks.

    Called without the lock.
    """
    if request.service != "logs" or request.action not in READING_ACTIONS:
        return
    group = request.text("logGroupName") or request.text("logGroupIdentifier")
    wanted = {*request.items("logStreamNames"), *[request.text("logStreamName")]} - {""}
    with state.lock:
        tasks = [task for task in state.tasks.values() if task.phase == "running"]
    for task in tasks:
        places = [log_of(task, container) for container in task.containers]
        for place in places:
            if place is None or place[0] not in group:
                continue
            if not wanted or place[1] in wanted:
                pull(state, runtime, task)
                break
