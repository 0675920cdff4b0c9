"""DescribeTasks, ListTasks, StopTask, the tags of tasks, and the clusters that hold them."""

from __future__ import annotations

import time
from typing import Any

from dockerparallel_fargate_harness import moto_state
from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.lifecycle import Lifecycle
from dockerparallel_fargate_harness.rules_tags import check_tags, invalid
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.tasks import Task
from dockerparallel_fargate_harness.wire import ACCOUNT, AwsRequest

MOST_DESCRIBED = 100
PAGE = 100


def describe_tasks(state: State, request: AwsRequest) -> dict[str, Any]:
    """Answer DescribeTasks: unknown tasks are failures with the reason MISSING."""
    cluster = cluster_of(request)
    wanted = [str(name) for name in request.items("tasks")]
    if not wanted:
        raise invalid("Tasks cannot be empty.")
    if len(wanted) > MOST_DESCRIBED:
        raise invalid(f"Tasks can have a maximum size of {MOST_DESCRIBED}.")
    forget_old(state)
    found, failures = [], []
    for name in dict.fromkeys(wanted):
        task = state.task(request, cluster, name)
        if task is None:
            failures.append({"arn": _arn(request, cluster, name), "reason": "MISSING"})
        else:
            found.append(task.as_api(with_tags="TAGS" in request.items("include")))
    return {"tasks": found, "failures": failures}


def list_tasks(state: State, request: AwsRequest) -> dict[str, Any]:
    """Answer ListTasks, a page at a time."""
    cluster = cluster_of(request)
    filters = [
        name
        for name in ("containerInstance", "family", "serviceName", "startedBy")
        if request.text(name)
    ]
    if "startedBy" in filters and len(filters) > 1:
        raise invalid("cannot specify a startedBy filter together with other filters")
    size = int(request.parameters.get("maxResults") or PAGE)
    if not 1 <= size <= PAGE or request.parameters.get("maxResults") == 0:
        raise invalid(f"maxResults should be between 1 and {PAGE}.")
    status = request.text("desiredStatus", "RUNNING")
    if status not in {"RUNNING", "PENDING", "STOPPED"}:
        raise invalid("desiredStatus should be one of [RUNNING,PENDING,STOPPED]")
    forget_old(state)
    newest = time.time() - state.settings.list_lag_seconds
    after = _number_of(request.text("nextToken"))
    tasks = [
        task
        for task in state.tasks_of(request.region, cluster)
        if task.number > after
        and task.times["createdAt"] <= newest
        and task.desired_status == status
        and _matches(task, request)
    ]
    shown = {"taskArns": [task.arn for task in tasks[:size]]}
    # The token is a number and no position, so that a page stays right when tasks vanish.
    return shown | {"nextToken": str(tasks[size - 1].number)} if len(tasks) > size else shown


def _number_of(token: str) -> int:
    if token and not token.isdigit():
        raise invalid("Invalid token.")
    return int(token or 0)


def stop_task(state: State, lifecycle: Lifecycle, request: AwsRequest) -> dict[str, Any]:
    """Answer StopTask; the containers end in the background."""
    cluster = cluster_of(request)
    task = state.task(request, cluster, request.text("task"))
    if task is None:
        raise invalid("The referenced task was not found.")
    lifecycle.stop(task, "UserInitiated", request.text("reason", "Task stopped by user"))
    return {"task": task.as_api(with_tags=True)}


def tags_of(state: State, request: AwsRequest) -> dict[str, Any] | None:
    """Answer the three actions for tags where they are about a task; None for anything else."""
    arn = request.text("resourceArn")
    if ":task/" not in arn:
        return None
    task = state.tasks.get(arn)
    if task is None:
        raise invalid("The specified task does not exist. Specify a valid task and try again.")
    if request.action == "ListTagsForResource":
        return {"tags": task.tags}
    tags = {tag["key"]: tag for tag in task.tags}
    if request.action == "TagResource":
        tags |= {tag["key"]: tag for tag in request.items("tags")}
    else:
        tags = {key: tag for key, tag in tags.items() if key not in request.items("tagKeys")}
    check_tags(list(tags.values()))
    task.tags = list(tags.values())
    return {}


def cluster_of(request: AwsRequest) -> str:
    """Return the name of the cluster that a request is about.

    Raises
    ------
    AwsError
        There is no such active cluster.
    """
    found = moto_state.cluster(request.region, request.text("cluster", "default"))
    if found is None:
        raise AwsError("ClusterNotFoundException", "Cluster not found.")
    return str(found.name)


def count_tasks(state: State, region: str) -> None:
    """Write the numbers of running and pending tasks into moto's clusters."""
    for cluster in moto_state.clusters(region):
        statuses = [task.status for task in state.tasks_of(region, cluster.name)]
        cluster.running_tasks_count = statuses.count("RUNNING")
        cluster.pending_tasks_count = statuses.count("PENDING") + statuses.count("PROVISIONING")


def forget_old(state: State) -> None:
    """Forget the tasks that stopped long ago."""
    oldest = time.time() - state.settings.stopped_task_seconds
    for arn, task in list(state.tasks.items()):
        if not task.active and task.times.get("stoppedAt", oldest) < oldest:
            del state.tasks[arn]


def _matches(task: Task, request: AwsRequest) -> bool:
    family = task.definition_arn.rpartition("/")[2].rpartition(":")[0]
    return (
        request.text("startedBy") in {"", task.started_by}
        and request.text("family") in {"", family}
        # Fargate has no container instances, and the harness no services.
        and not request.text("containerInstance")
        and not request.text("serviceName")
    )


def _arn(request: AwsRequest, cluster: str, name: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"arn:aws:ecs:{request.region}:{ACCOUNT}:task/{cluster}/{name}"
