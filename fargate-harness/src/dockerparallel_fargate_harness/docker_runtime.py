"""Run the containers of tasks by a Docker engine."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container

from dockerparallel_fargate_harness.docker_container import creation_of
from dockerparallel_fargate_harness.docker_networks import DockerNetworks, shared_groups
from dockerparallel_fargate_harness.errors import DockerUnavailableError
from dockerparallel_fargate_harness.leftovers import LABEL, LABEL_OWNER
from dockerparallel_fargate_harness.process_identity import Owner
from dockerparallel_fargate_harness.removal import ENGINE_SECONDS, remove_container
from dockerparallel_fargate_harness.runtime import End, LogLine, OnEnd
from dockerparallel_fargate_harness.task_resources import StartFailureError
from dockerparallel_fargate_harness.tasks import Task, TaskContainer

OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
KILLED = 137
REMOVALS = 8


def connect() -> docker.DockerClient:
    """Return a client of the engine that the environment names.

    Raises
    ------
    DockerUnavailableError
        No engine answers.
    """
    try:
        client = docker.from_env(timeout=ENGINE_SECONDS, max_pool_size=32)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        raise DockerUnavailableError(f"no Docker engine answers: {error}") from error
    return client


class DockerRuntime:
    """Runs each task as containers of a Docker engine.

    Parameters
    ----------
    client : docker.DockerClient
        The engine.
    identifier : str
        What the label of everything made holds.
    on_end : callable
        Called with the id of each container that has ended.
    lock : threading.RLock
        The harness's lock, under which moto's security groups are read.
    internet : bool
        Whether the containers reach what this machine reaches.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        identifier: str,
        on_end: OnEnd,
        *,
        lock: threading.RLock,
        internet: bool,
    ) -> None:
        self._client = client
        self._labels = {LABEL: identifier, LABEL_OWNER: str(Owner.current())}
        self._on_end = on_end
        self._lock = lock
        self._networks = DockerNetworks(client, self._labels, internal=not internet)
        self._cores = int(client.info()["NCPU"])
        self._closed = False
        self._events: Any = self._listen()
        self._thread = threading.Thread(target=self._watch, name="fargate-events", daemon=True)
        self._thread.start()

    def has_image(self, image: str, /) -> bool:
        """Tell whether the engine has the image; the harness pulls none."""
        try:
            self._client.images.get(image)
        except (ImageNotFound, NotFound):
            return False
        return True

    def exposed_ports(self, image: str, /) -> set[int]:
        """Return the TCP ports of the image's EXPOSE."""
        exposed = (self._client.images.get(image).attrs["Config"] or {}).get("ExposedPorts") or {}
        return {int(port.partition("/")[0]) for port in exposed if port.endswith("/tcp")}

    def start(self, task: Task, /) -> None:
        """Start the containers of a task; the first one has the network, and the others join it."""
        with task.moving:
            self._start(task)

    def _start(self, task: Task) -> None:
        with self._lock:
            if task.phase == "over":
                raise StartFailureError("the task vanished")
            groups = shared_groups(task)
        try:
            networks = self._networks.enter(task, groups)
            for container in task.containers:
                first = task.containers[0].docker_id
                place = f"container:{first}" if first else networks[0]
                made = self._client.containers.create(
                    **creation_of(task, container, place, self._cores), labels=self._labels
                )
                container.docker_id = str(made.id)
                for other in networks[1:] if not first else ():
                    self._client.networks.get(other).connect(made)
                made.start()
            self._note_address(task)
        except (APIError, requests.RequestException) as error:
            self._remove(task)
            why = getattr(error, "explanation", None) or error
            raise StartFailureError(
                f"CannotStartContainerError: Error response from daemon: {why}"
            ) from error

    def signal(self, container: TaskContainer, signal: str, /) -> None:
        """Send a signal; what has ended or is gone gets none."""
        if not container.docker_id:
            return
        try:
            self._client.containers.get(container.docker_id).kill(signal)
        except NotFound:
            # Gone is what a signal is meant to bring about.
            return
        except APIError as error:
            if error.status_code != requests.codes.conflict:
                raise
            # It is not running any more.

    def end_of(self, container: TaskContainer, /) -> End | None:
        """Return how a container ended; one that somebody removed counts as killed."""
        try:
            state = self._client.containers.get(container.docker_id).attrs["State"]
        except NotFound:
            return End(KILLED)
        if state["Status"] not in {"exited", "dead"}:
            return None
        reason = OUT_OF_MEMORY if state.get("OOMKilled") else ""
        return End(int(state["ExitCode"]), reason)

    def lines(self, container: TaskContainer, /) -> list[LogLine]:
        """Return what a container has written to stdout and stderr."""
        try:
            text = self._client.containers.get(container.docker_id).logs(timestamps=True)
        except NotFound:
            # Its last lines were taken when it ended.
            return []
        return [_line(line) for line in text.decode(errors="replace").splitlines()]

    def remove(self, task: Task, /) -> None:
        """Remove the containers of a task, whatever they do, and the networks of its own."""
        with task.moving:
            self._remove(task)

    def _remove(self, task: Task) -> None:
        for container in reversed(task.containers):
            if container.docker_id:
                remove_container(self._client, container.docker_id)
        self._networks.leave(task)

    def left(self) -> list[str]:
        """Return the ids of the containers of this harness."""
        return [str(container.id) for container in self._containers()]

    def close(self) -> None:
        """Remove all containers and networks, and stop listening."""
        self._closed = True
        self._events.close()
        self.clear()
        self._thread.join(ENGINE_SECONDS)
        self._client.close()

    def clear(self) -> None:
        """Remove all containers and networks."""
        # One after the other would take a second for a few of them.
        with ThreadPoolExecutor(REMOVALS) as pool:
            for done in [
                pool.submit(remove_container, self._client, str(container.id))
                for container in self._containers()
            ]:
                done.result()
        self._networks.close()

    def _containers(self) -> list[Container]:
        label = f"{LABEL}={self._labels[LABEL]}"
        return self._client.containers.list(all=True, filters={"label": label}, ignore_removed=True)

    def _note_address(self, task: Task) -> None:
        made = self._client.containers.get(task.containers[0].docker_id)
        made.reload()
        networks = made.attrs["NetworkSettings"]["Networks"]
        # One that has ended already has no address any more, and keeps that of its interface.
        for network in networks.values():
            if network["IPAddress"]:
                task.network.private_address = network["IPAddress"]
                return

    def _listen(self) -> Iterator[dict[str, Any]]:
        filters = {"label": f"{LABEL}={self._labels[LABEL]}", "event": ["die", "destroy"]}
        events: Iterator[dict[str, Any]] = self._client.events(decode=True, filters=filters)
        return events

    def _watch(self) -> None:
        while True:
            try:
                for event in self._events:
                    self._on_end(str(event["id"]))
            except (requests.RequestException, DockerException, OSError, ValueError) as error:
                # Closing the stream looks like a failure of the connection, too.
                if not self._closed:
                    sys.stderr.write(f"fargate-harness: Docker's events broke off: {error}\n")
            if self._closed:
                return
            self._events = self._listen()


def _line(text: str) -> LogLine:
    stamp, _, rest = text.partition(" ")
    # Docker gives nanoseconds, of which Python reads six digits.
    seconds, _, fraction = stamp.rstrip("Z").partition(".")
    moment = datetime.fromisoformat(f"{seconds}.{fraction[:6].ljust(6, '0')}+00:00")
    return LogLine(int(moment.timestamp() * 1000), rest)
