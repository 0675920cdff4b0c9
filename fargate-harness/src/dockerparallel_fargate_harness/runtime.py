"""What runs the containers of tasks: Docker, or nothing at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dockerparallel_fargate_harness.tasks import Task, TaskContainer

OnEnd = Callable[[str], None]
"""Called with the id of a container that has ended."""


@dataclass(frozen=True)
class End:
    """How a container ended.

    Parameters
    ----------
    exit_code : int
        Its exit code.
    reason : str, default ""
        Why, where there is more to say.
    """

    exit_code: int
    reason: str = ""


@dataclass(frozen=True)
class LogLine:
    """One line that a container wrote.

    Parameters
    ----------
    milliseconds : int
        When, since the epoch.
    text : str
        The line.
    """

    milliseconds: int
    text: str


class Runtime(Protocol):
    """Runs containers; its methods may take a while, so they are called without the lock."""

    def has_image(self, image: str, /) -> bool:
        """Tell whether the image is there."""

    def start(self, task: Task, /) -> None:
        """Start the containers of a task; note their ids and the private address in it.

        Raises
        ------
        StartFailureError
            They cannot be started; nothing of them is left.
        """

    def signal(self, container: TaskContainer, signal: str, /) -> None:
        """Send a signal to a container; without effect where it has ended."""

    def end_of(self, container: TaskContainer, /) -> End | None:
        """Return how a container ended, None while it runs."""

    def lines(self, container: TaskContainer, /) -> list[LogLine]:
        """Return what a container has written, nothing where it is gone."""

    def exposed_ports(self, image: str, /) -> set[int]:
        """Return the TCP ports that the image exposes."""

    def remove(self, task: Task, /) -> None:
        """Remove the containers of a task and the networks that only it used."""

    def left(self) -> list[str]:
        """Return the ids of the containers that exist."""

    def close(self) -> None:
        """Remove everything that this runtime has made."""


class NoContainers:
    """Runs nothing: a task only passes its states, and a signal ends it.

    Parameters
    ----------
    on_end : callable
        Called with the id of each container that has ended.
    """

    def __init__(self, on_end: OnEnd) -> None:
        self._on_end = on_end
        self._ends: dict[str, End] = {}

    def has_image(self, image: str, /) -> bool:
        """Say that every image is there."""
        return True

    def start(self, task: Task, /) -> None:
        """Give the containers ids; the private address stays that of the network interface."""
        for container in task.containers:
            container.docker_id = secrets.token_hex(32)

    def signal(self, container: TaskContainer, signal: str, /) -> None:
        """End a container as a program without a handler ends."""
        if container.docker_id and container.docker_id not in self._ends:
            self._ends[container.docker_id] = End(137 if signal == "SIGKILL" else 143)
            self._on_end(container.docker_id)

    def end_of(self, container: TaskContainer, /) -> End | None:
        """Return how a container was ended, if it was."""
        return self._ends.get(container.docker_id)

    def lines(self, container: TaskContainer, /) -> list[LogLine]:
        """Return nothing."""
        return []

    def exposed_ports(self, image: str, /) -> set[int]:
        """Return nothing."""
        return set()

    def remove(self, task: Task, /) -> None:
        """Forget how the containers ended."""
        for container in task.containers:
            self._ends.pop(container.docker_id, None)

    def left(self) -> list[str]:
        """Return nothing."""
        return []

    def close(self) -> None:
        """Do nothing."""
