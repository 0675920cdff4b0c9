"""A container of tiny programs, and helpers to look at processes, for the tests."""

from __future__ import annotations

import dataclasses
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from dockerparallel import DockerCluster, DockerContainer

SERVER = """
import os, socket
address = (os.environ["DOCKERPARALLEL_BIND_ADDRESS"], int(os.environ["PORT"]))
server = socket.create_server(address)
print("listening on", address[1], flush=True)
while True:
    server.accept()[0].close()
"""

WORKER = """
import os, time
print("workers:", os.environ["WORKERS"], flush=True)
time.sleep(600)
"""

# The worker has a child; both say who they are.
FAMILY = """
import os, time
child = os.fork()
print("child" if child == 0 else "parent", os.getpid(), flush=True)
time.sleep(600)
"""

DEADLINE = 20.0

_T = TypeVar("_T")


@dataclasses.dataclass(repr=False)
class TinyContainer(DockerContainer):
    """Runs ``program``, by default a worker that sleeps; its server accepts connections."""

    image: str = "none"
    program: str = WORKER
    server_program: str = SERVER

    def configure_server_env(self, cluster: DockerCluster) -> Self:
        container = self.copy()
        container.environment["PORT"] = str(cluster.config.server_port)
        container.secrets["TINY_PASSWORD"] = cluster.config.server_password
        container.command = ["python", "-c", self.server_program]
        return container

    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        container = self.copy()
        container.environment["WORKERS"] = str(worker_number)
        container.environment["SERVER"] = ":".join(map(str, cluster.server_address_for_workers()))
        container.secrets["TINY_PASSWORD"] = cluster.config.server_password
        container.command = ["python3", "-c", self.program]
        return container

    def register_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        pass

    def deregister_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        pass

    def server_container(self) -> DockerContainer:
        return TinyContainer(server_program=self.server_program)


def some_port() -> int:
    """Return a port that no other test run on this machine is likely to want just now."""
    return 10_000 + secrets.randbelow(20_000)


def wait_for(what: str, condition: Callable[[], _T]) -> _T:
    """Return what ``condition`` gives once it is true, and fail when that takes too long."""
    deadline = time.monotonic() + DEADLINE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {DEADLINE:g} s in vain for {what}")
        time.sleep(0.01)
    return value


def lives(pid: int) -> bool:
    """Tell whether a process of that number lives; a zombie does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with."""
    entries = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


def processes_naming(folder: Path) -> list[int]:
    """Return all other processes whose environment names a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                if os.fsencode(folder) in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                # It has just ended.
                continue
    return found


def pids(cluster: DockerCluster, handle: str, number: int = 1) -> list[int]:
    """Return the process ids that a process has printed, once there are ``number``."""

    def printed() -> list[int]:
        text: str = cluster.cloud_provider.logs(handle)
        found = [int(word) for word in text.split() if word.isdecimal()]
        return found if len(found) >= number else []

    return wait_for(f"{number} process ids in the log of {handle}", printed)


def pid_of(cluster: DockerCluster, handle: str) -> int:
    """Return the process id of a server or worker from the state file."""
    folder = cluster.state.provider._deployment.folder(cluster)  # type: ignore[attr-defined]
    records = {record.handle: record for record in folder.read().processes}
    number: int = records[handle].pid
    return number


def session(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start another Python session, in which this module can be imported."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_session(script: str, *arguments: str) -> str:
    """Run another Python session to its end and return what it printed; it must succeed."""
    with session(script, *arguments) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output
