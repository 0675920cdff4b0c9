"""Starting a cluster, and taking over one that runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, get_args

from dockerparallel.backend import register_backend
from dockerparallel.errors import (
    ClusterExistsError,
    ClusterNotFoundError,
    InvalidValueError,
    ServerNotRunningError,
)
from dockerparallel.exit_hooks import honour_sigterm
from dockerparallel.scaling import set_worker_number, worker_numbers
from dockerparallel.serving import refresh_server, start_server
from dockerparallel.state import (
    ClusterState,
    ensure_initialized,
    extension_call,
    warn_of_kept_handle,
)
from dockerparallel.status import ServerAddress, Status
from dockerparallel.stopping import describe, stop, stop_all

if TYPE_CHECKING:
    from dockerparallel.cluster import DockerCluster

IfExists = Literal["ask", "reconnect", "new", "error"]


def start(cluster: DockerCluster, if_exists: IfExists | None) -> None:
    """Start the whole cluster; see ``DockerCluster.start``."""
    if if_exists is not None and if_exists not in get_args(IfExists):
        raise InvalidValueError(
            f"if_exists must be one of {', '.join(map(repr, get_args(IfExists)))} or None, not "
            f"{if_exists!r}."
        )
    for container in (cluster.state.server_container, cluster.state.worker_container):
        if container is not None:
            container.check()
    ensure_initialized(cluster)
    ours = _runs_already(cluster)
    if not ours and exists(cluster):
        decision = _decide(cluster, if_exists)
        if decision == "reconnect":
            reconnect(cluster)
            return
        _remove_old(cluster)
    honour_sigterm()
    state = cluster.state
    state.starting = not ours
    try:
        start_server(cluster)
        set_worker_number(cluster, state.config.expected_worker_number)
        register_backend(cluster)
    except BaseException as error:
        if not ours:
            for further in stop_all(cluster):
                error.add_note(f"While undoing the start, there was also: {describe(further)}")
        raise
    finally:
        state.starting = False
    warn_of_kept_handle(cluster)
    state.logger.info(
        "The cluster is ready: %d worker(s) expected.", state.config.expected_worker_number
    )


def _runs_already(cluster: DockerCluster) -> bool:
    """Tell whether this cluster is one that this handle started and that still runs."""
    with extension_call(cluster) as state:
        if state.runtime.server_from_other_source:
            numbers = worker_numbers(cluster)
            return numbers.initializing + numbers.running > 0
        return refresh_server(cluster) is not Status.STOPPED


def exists(cluster: DockerCluster) -> bool:
    """Ask the provider for a running cluster of this name; see ``DockerCluster.exists``."""
    ensure_initialized(cluster)
    with extension_call(cluster) as state:
        return bool(state.provider.cluster_exists(cluster))


def _decide(cluster: DockerCluster, if_exists: IfExists | None) -> Literal["reconnect", "new"]:
    name = cluster.config.job_queue_name
    on_terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    if if_exists in ("reconnect", "new"):
        return if_exists
    if if_exists == "error" or not on_terminal:
        raise ClusterExistsError(
            f"A cluster {name!r} runs already. Pass if_exists='reconnect' to start() to use it, "
            "if_exists='new' to remove it and start a new one, or choose another job_queue_name."
        )
    answers: dict[str, Literal["reconnect", "new"]] = {"r": "reconnect", "n": "new"}
    while True:
        answer = input(
            f"A cluster {name!r} runs already. [r]euse it, remove it and start a [n]ew one, or "
            "[c]ancel? "
        )
        letter = answer.strip().lower()[:1]
        if letter in answers:
            return answers[letter]
        if letter == "c":
            raise ClusterExistsError(f"Cancelled: a cluster {name!r} runs already.")


def reconnect(cluster: DockerCluster) -> None:
    """Take over a running cluster; see ``DockerCluster.reconnect``."""
    _take_over(cluster)
    state = cluster.state
    if refresh_server(cluster) is Status.STOPPED:
        name, workers = state.config.job_queue_name, sum(worker_numbers(cluster)[:2])
        raise ServerNotRunningError(
            f"The server of the cluster {name!r} has stopped, and {workers} worker(s) are left of "
            "it: end them by cluster.stop(), or replace the cluster by "
            f"cluster.start(if_exists='new'). {state.server_stop_reason}".rstrip()
        )
    if state.stop_on_exit:
        state.stop_on_exit = False
        state.logger.info(
            "Reconnected: this cluster now stays when the session ends (stop_on_exit is False)."
        )
    with extension_call(cluster):
        numbers = worker_numbers(cluster)
        state.config.expected_worker_number = numbers.initializing + numbers.running
    register_backend(cluster)


def _take_over(cluster: DockerCluster) -> None:
    """Make the provider work for the running cluster of this name, and note its address."""
    if not exists(cluster):
        raise ClusterNotFoundError(
            f"There is no running cluster {cluster.config.job_queue_name!r} to reconnect to: "
            "check job_queue_name, or call cluster.start()."
        )
    with extension_call(cluster) as state:
        state.provider.reconnect(cluster)
        state.active, state.stopped = True, False
        state.requested_workers = state.config.expected_worker_number
        if not state.runtime.server_from_other_source:
            state.server_started = True
            state.runtime.record_server(ServerAddress(*state.provider.server_address(cluster)))
        worker_numbers(cluster)


def _remove_old(cluster: DockerCluster) -> None:
    """Stop the running cluster of this name, which may have other settings and containers."""
    state = cluster.state
    state.logger.info("Removing the cluster of this name that runs already.")
    old = ClusterState(
        provider=state.provider,
        server_container=None if state.server_container is None else state.server_container.copy(),
        worker_container=state.worker_container.copy(),
        config=type(state.config)(job_queue_name=state.config.job_queue_name),
        external_server=None,
        stop_on_exit=False,
        verbose=state.logger.verbose,
    )
    old.initialized = True
    old.any_container_class = True
    handle = type(cluster).from_state(old)
    with state.lock:
        _take_over(handle)
        stop(handle, ignore_errors=False)
