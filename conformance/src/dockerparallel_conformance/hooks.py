"""What the suite cannot know of a platform or backend, and what it does where nobody tells.

Each hook is a fixture of the same name on the conformance classes, and a field of :class:`Hooks`
for the one-call form.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from dockerparallel import DockerCluster

if TYPE_CHECKING:
    from dockerparallel import ExternalServer
    from dockerparallel_conformance.external import RunningServer
    from dockerparallel_conformance.tasks import Task

# What joblib itself registers; anything else as its default is a backend of some cluster.
_JOBLIBS_OWN = frozenset({"loky", "threading", "multiprocessing", "sequential"})


def run_tasks(cluster: DockerCluster, task: Task, arguments: list[dict[str, Any]]) -> list[Any]:
    """Run a task on the workers, once for each argument, and return the results in order.

    By the ``executor()`` that the worker container exports; else by joblib, where registering the
    backend has made it joblib's default. An error of the task is raised.
    """
    if "executor" in dir(cluster.worker_container):
        executor = cluster.worker_container.executor()
        try:
            return list(executor.map(task, arguments))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
    # A cluster that was registered later would get the tasks.
    cluster.register_backend()
    if not joblib_is_ours():
        pytest.skip(
            "the suite knows no way to send a task: the worker container exports no executor() "
            "and registers no joblib backend; override the fixture run_tasks"
        )
    return run_with_joblib(task, arguments)


def joblib_is_ours() -> bool:
    """Tell whether some cluster's backend is joblib's default now."""
    default = backend_state()
    return default is not None and default not in _JOBLIBS_OWN


def run_with_joblib(task: Task, arguments: list[dict[str, Any]]) -> list[Any]:
    """Run a task with the backend that is joblib's default."""
    joblib: Any = sys.modules["joblib"]
    delayed = joblib.delayed(task)
    return list(joblib.Parallel()(delayed(argument) for argument in arguments))


def backend_state() -> object:
    """Return what the session computes with: joblib's default backend, if joblib is loaded."""
    parallel: Any = sys.modules.get("joblib.parallel")
    return None if parallel is None else parallel.DEFAULT_BACKEND


def kill_worker(cluster: DockerCluster) -> None:
    """End one worker container behind the cluster's back.

    By ``kill_worker_containers`` where the provider scales by handles; else the provider alone is
    asked for one worker less, which shows less: override it with what the platform offers.
    """
    state = cluster.state
    provider: Any = state.provider
    with state.lock:
        if hasattr(provider, "kill_worker_containers"):
            provider.kill_worker_containers(cluster, [provider.worker_handles()[-1]])
            return
        number = state.config.expected_worker_number - 1
        container = state.worker_container.configure_worker_env(cluster, 1)
        provider.set_worker_number(cluster, container, state.config.worker_hardware, number)


def kill_server(cluster: DockerCluster) -> None:
    """End the server behind the cluster's back: by the provider, without telling the cluster."""
    with cluster.state.lock:
        cluster.state.provider.stop_server(cluster)


def list_resources(cluster: DockerCluster) -> list[str]:
    """Return what the platform still has of the cluster's name, as a person would see it.

    By each exported function of the provider whose name begins with ``list`` and that needs no
    argument: the items that show the name of the cluster.
    """
    name = cluster.config.job_queue_name
    view = cluster.cloud_provider
    found: list[str] = []
    for exported in dir(view):
        if exported.startswith("list"):
            listed = getattr(view, exported)()
            found += [text for item in listed if name in (text := str(item))]
    return found


def shown_environment(cluster: DockerCluster) -> list[str] | None:
    """Return what the platform shows of the environment of the cluster's containers.

    By the exported function of that name, where the provider has it; else ``None``: then all that
    a container itself finds in its environment counts as shown.
    """
    view = cluster.cloud_provider
    return list(view.shown_environment()) if "shown_environment" in dir(view) else None


def list_shared_resources(cluster: DockerCluster) -> list[str]:  # noqa: ARG001 - a hook's form
    """Return what plain clean-up keeps for later clusters, and deep clean-up removes.

    Nothing by default: override it where your provider makes such things.
    """
    return []


@dataclass(frozen=True)
class Hooks:
    """What an author tells the one-call form of the suite; every field has a default.

    Parameters
    ----------
    run_tasks
        Called with a cluster, a task and a list of its arguments (dicts); returns the results in
        order and raises the error of a task.
    kill_worker, kill_server
        Called with a cluster; ends one worker container, or the server, without its knowledge.
    list_resources
        Called with a cluster, also a stopped one; returns what the platform has of its name.
    shown_environment
        Called with a running cluster; returns all that the platform shows of the environment of
        its containers to whoever may look at them, or ``None`` where it shows what they have.
    list_shared_resources
        Called with a cluster; returns what deep clean-up removes and plain clean-up keeps.
    backend_state
        Called without argument; returns a value, comparable by ``==``, that tells what the
        session computes with.
    external_server
        Called without argument; a context manager that gives a server that runs outside any
        cluster. By default the server container's image is run by testcontainers, or its command
        as a process where no Docker engine answers.
    """

    run_tasks: Callable[[DockerCluster, Task, list[dict[str, Any]]], list[Any]] = run_tasks
    kill_worker: Callable[[DockerCluster], None] = kill_worker
    kill_server: Callable[[DockerCluster], None] = kill_server
    list_resources: Callable[[DockerCluster], list[str]] = list_resources
    shown_environment: Callable[[DockerCluster], list[str] | None] = shown_environment
    list_shared_resources: Callable[[DockerCluster], list[str]] = list_shared_resources
    backend_state: Callable[[], object] = backend_state
    external_server: Callable[[], AbstractContextManager[ExternalServer | RunningServer]] | None = (
        field(default=None)
    )
