"""`FargateHarness`: start the harness from a test, and tell it what to do."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Self

import boto3

from dockerparallel_fargate_harness.calls import Call
from dockerparallel_fargate_harness.errors import (
    ControlError,
    HarnessError,
    HarnessStartError,
    HarnessTimeoutError,
)
from dockerparallel_fargate_harness.faults import CAPACITY_REASON
from dockerparallel_fargate_harness.settings import Settings

MODULE = "dockerparallel_fargate_harness"
CREDENTIALS = {"aws_access_key_id": "AKIAFARGATEHARNESS00", "aws_secret_access_key": "harness"}


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


class FargateHarness:
    """ECS Fargate on this machine, as a context manager.

    Entering it starts a server as a child process; leaving it ends the server, which removes every
    container and network that it made. The server also ends when this process does.

    Parameters
    ----------
    containers : bool, default True
        Whether each task runs as a Docker container; otherwise it only passes its states.
    client_address : str, default "203.0.113.7"
        The address that the client has on the internet: what rules of security groups must admit.
    region : str, default "us-east-1"
        The region of `session`, and the one that `left` looks at.
    start_timeout : float, default 60
        Seconds within which the server must be ready.
    timeout : float, default 60
        Seconds within which the server must answer and, at the end, have removed everything.
    """

    def __init__(
        self,
        *,
        containers: bool = True,
        client_address: str = "203.0.113.7",
        region: str = "us-east-1",
        start_timeout: float = 60.0,
        timeout: float = 60.0,
    ) -> None:
        self.client_address = client_address
        self.region = region
        self._containers = containers
        self._start_timeout = start_timeout
        self._timeout = timeout
        self._endpoint = ""
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    def attach(cls, endpoint_url: str, *, region: str = "us-east-1", timeout: float = 60.0) -> Self:
        """Return a harness for a server that runs already; closing it leaves the server alone."""
        harness = cls(region=region, timeout=timeout)
        harness._endpoint = endpoint_url.rstrip("/")
        with _opened(harness.checkip_url, None, timeout) as answer:
            harness.client_address = answer.decode().strip()
        return harness

    def __enter__(self) -> Self:
        if not self._endpoint:
            self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def endpoint_url(self) -> str:
        """The URL for boto3's ``endpoint_url``.

        Raises
        ------
        HarnessError
            The harness has not been started.
        """
        if not self._endpoint:
            raise HarnessError("the harness is not running; use it as a context manager")
        return self._endpoint

    @property
    def checkip_url(self) -> str:
        """A URL that answers with the client's address, as https://checkip.amazonaws.com does."""
        return f"{self.endpoint_url}/harness/checkip"

    @property
    def pid(self) -> int | None:
        """The number of the server's process, None where this harness has not started it."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server.

        Raises
        ------
        HarnessStartError
            It is not ready in time; its own words are on stderr.
        """
        command = [sys.executable, "-m", MODULE, "serve", "--port=0", "--watch-stdin"]
        command += [f"--client-address={self.client_address}", f"--region={self.region}"]
        command += [] if self._containers else ["--no-containers"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._process = process
        timer = threading.Timer(self._start_timeout, process.kill)
        timer.start()
        try:
            assert process.stdout is not None  # noqa: S101 -- asked for by PIPE
            line = process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            self.close()
            raise HarnessStartError(
                f"the harness ended (status {process.returncode}) before it was ready, or was not "
                f"ready within {self._start_timeout:g} s; its words are on stderr"
            )
        self._endpoint = json.loads(line)["endpoint"]

    def close(self) -> None:
        """End the server that this harness has started, and wait until it has cleaned up.

        Raises
        ------
        HarnessTimeoutError
            It did not end in time, and was killed; the next harness removes what it left.
        """
        process, self._process = self._process, None
        if process is None:
            return
        self._endpoint = ""
        process.terminate()
        try:
            process.wait(self._timeout)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise HarnessTimeoutError(
                f"the harness did not end within {self._timeout:g} s and was killed"
            ) from error
        finally:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def session(self) -> boto3.Session:
        """Return a session with credentials for tests; give clients `endpoint_url` yourself."""
        return boto3.Session(region_name=self.region, **CREDENTIALS)

    def client(self, service: str, **arguments: Any) -> Any:
        """Return a boto3 client of a service that talks to the harness.

        Parameters
        ----------
        service : str
            Such as ``"ecs"``.
        **arguments
            More arguments of ``boto3.Session.client``, such as ``config``.
        """
        create: Any = self.session().client
        return create(service, endpoint_url=self.endpoint_url, **arguments)

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
        with _opened(url, json.dumps(arguments).encode(), self._timeout) as answer:
            found = json.loads(answer)
        if "error" in found:
            raise ControlError(found["error"])
        return found["result"]


@contextlib.contextmanager
def _opened(url: str, body: bytes | None, timeout: float) -> Any:
    try:
        with urllib.request.urlopen(url, body, timeout) as response:  # noqa: S310 -- our own URL
            answer = response.read()
    except urllib.error.HTTPError as error:
        with error:
            answer = error.read()
    except TimeoutError as error:
        raise HarnessTimeoutError(f"the harness did not answer within {timeout:g} s") from error
    except OSError as error:
        raise HarnessError(f"the harness at {url} does not answer: {error}") from error
    yield answer
