"""Real servers and real workers for the tests, started by the package's own commands."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from dockerparallel import (
    CloudProvider,
    DockerCluster,
    DockerContainer,
    DockerHardware,
    Endpoint,
    ExternalServer,
    ServerAddress,
)
from dockerparallel_redis_queue_container import RedisQueueWorkerContainer, settings
from dockerparallel_redis_queue_container.blob_link import BlobLink
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.connection import connect, wait_for_server
from dockerparallel_redis_queue_container.keys import key_prefix
from dockerparallel_redis_queue_container.outcome_store import OutcomeStore
from dockerparallel_redis_queue_container.settings import QueueSettings
from dockerparallel_redis_queue_container.task_queue import TaskQueue

COMMAND = [sys.executable, "-m", "dockerparallel_redis_queue_container"]
PATIENCE = 30.0


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Return what ``condition`` gives as soon as it is true; fail where it never is."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.02)
    return value


def together(number: int, action: Callable[[int], Any]) -> list[Any]:
    """Return what ``action`` gives in threads that begin it at the same time."""
    barrier = threading.Barrier(number)

    def run(index: int) -> Any:
        barrier.wait(30)
        return action(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


@dataclass
class Program:
    """One of the package's programs in a process group of its own, and its log."""

    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def members(self) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            try:
                if os.getpgid(pid) == self.process.pid and is_alive(pid):
                    found.append(pid)
            except ProcessLookupError:
                continue
        return found

    def kill_group(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def end(self) -> int:
        """End it as a provider does; returns the exit code, or fails where members are left."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(PATIENCE)
            until(lambda: not self.members(), f"{self.members()} to end")
        finally:
            if self.members():
                os.killpg(self.process.pid, signal.SIGKILL)
        return code


def start_program(role: str, log_file: Path, environment: dict[str, str], cwd: Path) -> Program:
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, role],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=cwd,
            start_new_session=True,
        )
    return Program(process, log_file)


@dataclass
class Server:
    """A server of the queue, protected by a password."""

    folder: Path
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    program: Program | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)

    def start(self) -> Server:
        environment = {
            settings.PASSWORD: self.password,
            settings.PORT: str(self.port),
            "DOCKERPARALLEL_BIND_ADDRESS": "127.0.0.1",
            **self.environment,
        }
        self.program = start_program("server", self.folder / "server.log", environment, self.folder)
        with self.connect() as connection:
            wait_for_server(connection, self.endpoint, PATIENCE)
        return self

    def kill(self) -> None:
        assert self.program is not None
        self.program.kill_group()

    def connect(self) -> redis.Redis:
        return connect(self.endpoint, self.password, timeout=10)


class Site:
    """One job queue on a server, with workers that a test starts and ends as it likes."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.name = f"queue-{secrets.token_hex(4)}"
        self.connection = server.connect()
        self.environment: dict[str, str] = {}
        self.programs: list[Program] = []
        self.clients: list[QueueClient] = []

    @property
    def settings(self) -> QueueSettings:
        return QueueSettings.from_environment(self.environment)

    def queue(self) -> TaskQueue:
        return TaskQueue(self.connection, self.name, self.settings)

    def store(self) -> OutcomeStore:
        return OutcomeStore(
            self.queue(), BlobLink(self.server.endpoint, self.server.password, 10.0)
        )

    def client(
        self,
        server_timeout: float = 5.0,
        memory_timeout: float = 120.0,
        endpoint: Endpoint | None = None,
    ) -> QueueClient:
        client = QueueClient(
            endpoint or self.server.endpoint,
            self.server.password,
            self.name,
            self.settings,
            server_timeout,
            memory_timeout,
        )
        self.clients.append(client)
        return client

    def start_workers(
        self, number: int = 1, environment: dict[str, str] | None = None, *, wait: bool = True
    ) -> Program:
        before = len(self.queue().workers()) if wait else 0
        folder = self.folder / f"workers-{len(self.programs)}"
        folder.mkdir()
        (folder / "tmp").mkdir()
        program = start_program(
            "worker",
            folder / "worker.log",
            {
                settings.PASSWORD: self.server.password,
                settings.SERVER_HOST: "127.0.0.1",
                settings.SERVER_PORT: str(self.server.port),
                settings.JOB_QUEUE_NAME: self.name,
                settings.WORKER_NUMBER: str(number),
                "TMPDIR": str(folder / "tmp"),
                **self.environment,
                **(environment or {}),
            },
            folder,
        )
        self.programs.append(program)
        if wait:
            self.wait_for_workers(before + number)
        return program

    def wait_for_workers(self, number: int) -> list[dict[str, Any]]:
        queue = self.queue()

        def enough() -> list[dict[str, Any]]:
            workers = queue.workers()
            return workers if len(workers) >= number else []

        found: list[dict[str, Any]] = until(enough, f"{number} workers")
        return found

    def counts(self) -> dict[str, int]:
        """Return how tasks and workers have ended, without what is 0."""
        counts = self.queue().numbers().counts
        ends = ("done", "failed", "retried", "died")
        return {name: counts[name] for name in ends if name in counts}

    def close(self) -> None:
        for client in self.clients:
            client.close()
        try:
            for program in self.programs:
                program.end()
        finally:
            self.connection.close()

    def stored(self) -> set[str]:
        """Return the names of the queue's keys, without their prefix."""
        prefix = key_prefix(self.name)
        return {
            key.decode().removeprefix(prefix)
            for key in self.connection.scan_iter(match=prefix.replace("{", "[{]") + "*")
        }


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        yield server.start()
    finally:
        if server.program is not None and server.program.process.poll() is None:
            server.program.end()
        left = sorted(path.name for path in folder.iterdir())
        assert left == ["server.log"], left


class NoProvider(CloudProvider):
    """Runs nothing: its clusters have an external server, and workers that a test starts."""

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        raise AssertionError("the server is external")

    def stop_server(self, cluster: DockerCluster) -> None:
        raise AssertionError("the server is external")

    def server_address(self, cluster: DockerCluster) -> ServerAddress:
        raise AssertionError("the server is external")

    def set_worker_number(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> None:
        """Do nothing."""


def cluster_on(site: Site, **options: Any) -> DockerCluster:
    """Return a cluster, not started, whose queue is that of ``site``."""
    options.setdefault("worker_container", RedisQueueWorkerContainer(environment=site.environment))
    server = ExternalServer(
        public_ip="127.0.0.1",
        public_port=options.pop("port", site.server.port),
        password=options.pop("password", site.server.password),
    )
    return DockerCluster(
        provider=NoProvider(), private_server=server, job_queue_name=site.name, **options
    )
