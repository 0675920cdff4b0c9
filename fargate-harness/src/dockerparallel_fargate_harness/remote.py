"""What a test asks of a running harness, over its control API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from dockerparallel_fargate_harness.calls import Call
from dockerparallel_fargate_harness.errors import ControlError, HarnessError, HarnessTimeoutError
from dockerparallel_fargate_harness.faults import CAPACITY_REASON
from dockerparallel_fargate_harness.settings import Settings


@dataclass(frozen=True)
class TaskInfo:
    """A task, as the harness knows it.

    Parameters
    ----------
    arn, cluster, status : str
        Its ARN, the name of its cluster, and its ``lastStatus``.
    container_id, container_name : str
        The id of its (first) Docker container, empty before there is one, and its name in the
        task definition.
    private_address, public_address : str
        Its addresses; the public one is empty where it has none.
    open_ports : tuple of int
        The TCP ports that its security groups open to the client.
    tags : dict
        Its tags.
    started_by, stop_code, stopped_reason : str
        As in DescribeTasks, empty where it has none.
    """

    arn: str
    cluster: str
    status: str
    container_id: str
    container_name: str
    private_address: str
    public_address: str
    open_ports: tuple[int, ...]
    tags: dict[str, str]
    started_by: str
    stop_code: str
    stopped_reason: str


class RemoteControl:
    """The part of `FargateHarness` that works on a server, whoever started it.

    Every method raises `ControlError` where the server refuses, `HarnessTimeoutError` where it
    does not answer in time, and `HarnessError` where there is none.
    """

    _timeout: float

    @property
    def endpoint_url(self) -> str:
        """The URL of the server."""
        raise NotImplementedError

    def calls(self, service: str | None = None, action: str | None = None) -> list[Call]:
        """Return the recorded calls, the oldest first; None matches all."""
        found = self._control("calls", service=service, action=action)
        return [Call(**call) for call in found]

    def clear_calls(self) -> None:
        """Forget the recorded calls."""
        self._control("clear_calls")

    def fail(
        self,
        action: str,
        code: str,
        message: str,
        *,
        service: str | None = None,
        status: int = 400,
        times: int = 1,
        skip: int = 0,
        after_effect: bool = False,
    ) -> None:
        """Let the next matching calls fail.

        Parameters
        ----------
        action : str
            Such as ``"RunTask"``; ``"*"`` is every action.
        code, message : str
            The error that the caller sees.
        service : str, optional
            Only calls of this service, by default of any.
        status : int, default 400
            The HTTP status; boto3 retries 5xx by itself.
        times : int, default 1
            How many calls fail.
        skip : int, default 0
            How many matching calls pass before.
        after_effect : bool, default False
            The call takes effect, and only its answer is lost.
        """
        self._control(
            "fail",
            action=action,
            code=code,
            message=message,
            service=service,
            status=status,
            times=times,
            skip=skip,
            after_effect=after_effect,
        )

    def throttle(
        self,
        action: str,
        times: int = 1,
        code: str = "ThrottlingException",
        message: str = "Rate exceeded",
    ) -> None:
        """Throttle the next calls of an action; boto3 itself retries them, each attempt counts."""
        self.fail(action, code, message, times=times)

    def refuse_capacity(self, times: int, reason: str = CAPACITY_REASON, started: int = 0) -> None:
        """Let the next calls of RunTask fail for lack of capacity.

        Parameters
        ----------
        times : int
            How many calls.
        reason : str
            The reason in ``failures``; by default Fargate's.
        started : int, default 0
            How many tasks of each call still start.
        """
        self._control("refuse_capacity", times=times, reason=reason, started=started)

    def interrupt_spot(self, task_arn: str) -> None:
        """Take a task of FARGATE_SPOT back, as AWS does when it needs the capacity."""
        self._control("interrupt_spot", task=task_arn)

    def vanish(self, task_arn: str) -> None:
        """Remove a task and its container without a trace; from then on it is MISSING."""
        self._control("vanish", task=task_arn)

    def kill(self, task_arn: str) -> None:
        """Kill a task's containers by SIGKILL, as if their programs had crashed."""
        self._control("kill", task=task_arn)

    def allow_only(self, policy: dict[str, Any] | None) -> None:
        """Check every call against an IAM policy document from now on; None checks nothing."""
        self._control("allow_only", policy=policy)

    def settings(self) -> Settings:
        """Return the settings."""
        return Settings(**self._control("settings"))

    def change_settings(self, **changes: float | None) -> None:
        """Change some of the fields of `Settings`; they hold for what happens afterwards.

        Raises
        ------
        ControlError
            There is no such setting, or not such a value.
        """
        self._control("change_settings", **changes)

    def reset(self) -> None:
        """Make the account fresh: no tasks, resources, tokens, faults, policy and calls."""
        self._control("reset")

    def left(self) -> dict[str, list[str]]:
        """Return the ids of what exists beyond a fresh account, by kind, without empty kinds."""
        found: dict[str, list[str]] = self._control("left")
        return found

    def tasks(self) -> list[TaskInfo]:
        """Return all tasks that are known, also stopped ones, the oldest first."""
        return [
            TaskInfo(**task | {"open_ports": tuple(task["open_ports"])})
            for task in self._control("tasks")
        ]

    def container_of(self, task_arn: str) -> str:
        """Return the id of a task's (first) Docker container, empty before there is one.

        Raises
        ------
        ControlError
            There is no such task.
        """
        for task in self.tasks():
            if task.arn == task_arn:
                return task.container_id
        raise ControlError(f"no task {task_arn}")

    def logs_of(self, task_arn: str) -> str:
        """Return what a task's containers have written, straight from Docker.

        It is empty when the task is STOPPED; its log streams in CloudWatch Logs keep it.
        """
        return str(self._control("logs_of", task=task_arn))

    def _control(self, method: str, **arguments: Any) -> Any:
        url = f"{self.endpoint_url}/harness/control/{method}"
        found = json.loads(fetch(url, json.dumps(arguments).encode(), self._timeout))
        if "error" in found:
            raise ControlError(found["error"])
        return found["result"]


def fetch(url: str, body: bytes | None, timeout: float) -> bytes:
    """Send a request to the server and return the body of its answer, also of a refusal.

    Raises
    ------
    HarnessTimeoutError
        It did not answer within ``timeout`` seconds.
    HarnessError
        There is no server.
    """
    try:
        with urllib.request.urlopen(url, body, timeout) as response:  # noqa: S310 -- our own URL
            answer: bytes = response.read()
    except urllib.error.HTTPError as error:
        with error:
            answer = error.read()
    except TimeoutError as error:
        raise HarnessTimeoutError(f"the harness did not answer within {timeout:g} s") from error
    except OSError as error:
        raise HarnessError(f"the harness at {url} does not answer: {error}") from error
    return answer
