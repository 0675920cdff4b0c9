"""A container of tiny programs, and helpers to look at a Docker engine, for the tests."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from dockerparallel import DockerCluster, DockerContainer

SERVER = """
import contextlib, os, pathlib, socket, threading

def serve(connection):
    # Who only looks whether it listens may hang up with its greeting unread.
    with contextlib.suppress(OSError), connection:
        connection.sendall(b"tiny")
        while connection.recv(1024):
            pass

secret = pathlib.Path(os.environ["DOCKERPARALLEL_SECRETS_DIR"], "TINY_PASSWORD").read_text()
server = socket.create_server(("", int(os.environ["PORT"])))
print("listening, with a secret of", len(secret), "letters", flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

WORKER = """
import os, time
print("workers:", os.environ["WORKERS"], flush=True)
time.sleep(600)
"""

IMAGE_LABEL = "dockerparallel.test"
"""On images that tests build, with the test's prefix, so that what is left of them is found."""

DEADLINE = 40.0

_T = TypeVar("_T")


@dataclasses.dataclass(repr=False)
class TinyContainer(DockerContainer):
    """Runs ``program``, by default a worker that sleeps; its server accepts connections.

    Where the engine has not its image and ``recipe`` is not empty, it is built of that.
    """

    program: str = WORKER
    server_program: str = SERVER
    recipe: str = ""

    def configure_server_env(self, cluster: DockerCluster) -> Self:
        container = self.copy()
        container.environment["PORT"] = str(cluster.config.server_port)
        container.secrets["TINY_PASSWORD"] = cluster.config.server_password
        container.command = python(self.server_program)
        return container

    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        container = self.copy()
        container.environment["WORKERS"] = str(worker_number)
        container.environment["SERVER"] = ":".join(map(str, cluster.server_address_for_workers()))
        container.secrets["TINY_PASSWORD"] = cluster.config.server_password
        container.command = python(self.program)
        return container

    def write_build_context(self, folder: Path) -> dict[str, str] | None:
        if not self.recipe:
            return None
        (folder / "Dockerfile").write_text(self.recipe, encoding="utf-8")
        return {"WORD": "argued"}

    def register_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        pass

    def deregister_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        pass

    def server_container(self) -> TinyContainer:
        return TinyContainer(
            image=self.image, server_program=self.server_program, recipe=self.recipe
        )


def python(program: str) -> list[str]:
    """Return the command of a program; tini, since process 1 would ignore SIGTERM."""
    return ["tini", "--", "python3", "-c", program]


def docker(*arguments: str, check: bool = True) -> str:
    """Run the docker command and return what it printed."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def inspect(*names: str) -> list[dict[str, Any]]:
    """Return what the engine tells of containers or networks."""
    about: list[dict[str, Any]] = json.loads(docker("inspect", *names))
    return about


def container_names(cluster: str) -> list[str]:
    """Return the names of all containers of clusters whose names begin with a text."""
    return _named("ps", "--all", "{{.Names}}", cluster)


def network_names(cluster: str) -> list[str]:
    """Return the names of all networks of clusters whose names begin with a text."""
    return _named("network", "ls", "{{.Name}}", cluster)


def image_ids(prefix: str) -> list[str]:
    """Return all images that a test has built, those without a name included."""
    return docker("images", "--all", "--quiet", f"--filter=label={IMAGE_LABEL}={prefix}").split()


def _named(what: str, option: str, name: str, cluster: str) -> list[str]:
    form = f'{{{{.Label "dockerparallel.cluster"}}}} {name}'
    lines = docker(what, option, "--filter=label=dockerparallel.cluster", f"--format={form}")
    return sorted(line.split()[1] for line in lines.splitlines() if line.startswith(cluster))


def in_container(name: str, *command: str, user: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command in a running container, as its own user by default."""
    options = [f"--user={user}"] if user else []
    return subprocess.run(
        ["docker", "exec", *options, name, *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wait_for(what: str, condition: Callable[[], _T]) -> _T:
    """Return what ``condition`` gives once it is true, and fail when that takes too long."""
    deadline = time.monotonic() + DEADLINE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {DEADLINE:g} s in vain for {what}")
        time.sleep(0.05)
    return value


def wait_for_death(cluster: DockerCluster, running: int = 0) -> None:
    """Wait until so many workers are counted as running."""
    wait_for("the death of workers", lambda: cluster.worker_numbers().running == running)


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
        output, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    assert not errors, errors
    return output
