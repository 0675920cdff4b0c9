"""`FargateHarness`: start the harness from a test, and tell it what to do."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any, Self

import boto3

from dockerparallel_fargate_harness.errors import (
    HarnessError,
    HarnessStartError,
    HarnessTimeoutError,
)
from dockerparallel_fargate_harness.remote import RemoteControl, fetch

MODULE = "dockerparallel_fargate_harness"
ACCESS_KEY = "AKIAFARGATEHARNESS00"
SECRET_KEY = "harness"  # noqa: S105 -- it opens nothing


class FargateHarness(RemoteControl):
    """ECS Fargate on this machine, as a context manager.

    Entering it starts a server as a child process; leaving it ends the server, which removes every
    container and network that it made. The server also ends when this process does.

    Parameters
    ----------
    containers : bool, default True
        Whether each task runs as a Docker container; otherwise it only passes its states.
    internet : bool, default False
        Whether containers reach what this machine reaches; tasks without a common security
        group may then reach each other for moments, while networks are made or removed.
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
        internet: bool = False,
        client_address: str = "203.0.113.7",
        region: str = "us-east-1",
        start_timeout: float = 60.0,
        timeout: float = 60.0,
    ) -> None:
        self.client_address = client_address
        self.region = region
        self._containers = containers
        self._internet = internet
        self._start_timeout = start_timeout
        self._timeout = timeout
        self._endpoint = ""
        self._identifier = ""
        self._process: subprocess.Popen[str] | None = None
        self._session: boto3.Session | None = None
        self._creating = threading.Lock()

    @classmethod
    def attach(cls, endpoint_url: str, *, region: str = "us-east-1", timeout: float = 60.0) -> Self:
        """Return a harness for a server that runs already; closing it leaves the server alone."""
        harness = cls(region=region, timeout=timeout)
        harness._endpoint = endpoint_url.rstrip("/")
        harness.client_address = fetch(harness.checkip_url, None, timeout).decode().strip()
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
    def identifier(self) -> str:
        """The value of the label ``dockerparallel.fargate-harness`` on all that it makes.

        It is empty for a harness that this one has not started.
        """
        return self._identifier

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
        command += ["--internet"] if self._internet else []
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
        ready = json.loads(line)
        self._endpoint, self._identifier = ready["endpoint"], ready["id"]

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
        return boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=self.region)

    def client(self, service: str, **arguments: Any) -> Any:
        """Return a boto3 client of a service that talks to the harness.

        Parameters
        ----------
        service : str
            Such as ``"ecs"``.
        **arguments
            More arguments of ``boto3.Session.client``, such as ``config``.
        """
        # Creating clients is not thread-safe, and each session reads the services' models anew.
        with self._creating:
            if self._session is None:
                self._session = self.session()
            create: Any = self._session.client
            return create(service, endpoint_url=self.endpoint_url, **arguments)
