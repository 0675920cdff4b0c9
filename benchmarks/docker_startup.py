"""Time to N running workers: local-docker beside ``docker run`` and ``docker-compose up --scale``.

All three start the same image with the same command, environment, limits and network, and are
measured in turn, in one run: the figures of a shared machine only mean something beside each
other. Two times are taken: until N containers run, as the engine says; and until N workers have
told the queue that they take work.

``nox -s bench -- docker_startup`` runs it and prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from dockerparallel import DockerCluster, DockerContainer
from dockerparallel_local_docker_provider import LocalDockerProvider
from dockerparallel_redis_queue_container import RedisQueueWorkerContainer
from tools.test_image import redis_queue_image

NUMBERS = (1, 2, 4, 8, 16)
WAIT_SECONDS = 120.0
MEMORY_MIB = 256
PREFIX = "dockerparallel-bench"


class Times(NamedTuple):
    """Seconds until the containers run, and until the workers take work."""

    running: float
    ready: float


def run(*command: str) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def wait_for_workers(cluster: DockerCluster, number: int) -> None:
    """Wait until so many workers take work from the queue, or none does."""
    deadline = time.monotonic() + WAIT_SECONDS
    while len(cluster.worker_container.stats()["workers"]) != number:
        if time.monotonic() > deadline:
            sys.exit(f"not {number} workers within {WAIT_SECONDS:g} s")
        time.sleep(0.01)


class Contender:
    """One way to start workers: `start` is measured, and `stop` is not."""

    name: str

    def __init__(self, cluster: DockerCluster, container: DockerContainer, folder: Path) -> None:
        self.cluster = cluster
        self.container = container
        self.network = f"dockerparallel-{cluster.config.job_queue_name}"
        self.environment = folder / "environment"
        # Docker's own ways have no secret channel of this kind, so that they get a variable.
        lines = [f"{name}={text}" for name, text in container.full_environment().items()]
        self.environment.write_text("\n".join(lines), encoding="utf-8")

    def start(self, number: int) -> None:
        """Start so many containers and return when they run."""
        raise NotImplementedError

    def stop(self) -> None:
        """Remove them."""
        raise NotImplementedError


class Ours(Contender):
    """``cluster.set_worker_number(N)``."""

    name = "local-docker"

    def start(self, number: int) -> None:
        """Ask for them, and see that they run."""
        self.cluster.set_worker_number(number)
        numbers = self.cluster.worker_numbers()
        if numbers.running != number:
            sys.exit(f"{number} workers were asked for, and there are {numbers}")

    def stop(self) -> None:
        """Ask for none."""
        self.cluster.set_worker_number(0)


class DockerRun(Contender):
    """``docker run --detach``, one after the other."""

    name = "docker run"

    def start(self, number: int) -> None:
        """Run the command so many times."""
        options = [
            *("--detach", f"--network={self.network}", f"--env-file={self.environment}"),
            *("--cpus=1", f"--memory={MEMORY_MIB}m", f"--memory-swap={MEMORY_MIB}m"),
            *(f"--label={PREFIX}=run", "--security-opt=no-new-privileges"),
        ]
        for _ in range(number):
            run("docker", "run", *options, self.container.image, *(self.container.command or []))

    def stop(self) -> None:
        """Remove them by their label."""
        found = run("docker", "ps", "--all", "--quiet", f"--filter=label={PREFIX}=run").split()
        run("docker", "rm", "--force", *found)


class Compose(Contender):
    """``docker-compose up --detach --scale worker=N``."""

    name = "docker-compose up"

    def __init__(self, cluster: DockerCluster, container: DockerContainer, folder: Path) -> None:
        super().__init__(cluster, container, folder)
        worker = {
            "image": container.image,
            "command": container.command,
            "env_file": [str(self.environment)],
            "networks": ["queue"],
            "cpus": 1.0,
            "mem_limit": f"{MEMORY_MIB}m",
            "memswap_limit": f"{MEMORY_MIB}m",
            "security_opt": ["no-new-privileges"],
        }
        network = {"external": True, "name": self.network}
        file = folder / "compose.json"
        # JSON is YAML.
        content = {"version": "2.4", "services": {"worker": worker}, "networks": {"queue": network}}
        file.write_text(json.dumps(content), encoding="utf-8")
        program = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
        self._compose = [*program, "--project-name", PREFIX, "--file", str(file)]

    def start(self, number: int) -> None:
        """Run the command once."""
        run(*self._compose, "up", "--detach", "--scale", f"worker={number}")

    def stop(self) -> None:
        """Remove them; the network is not Compose's own."""
        run(*self._compose, "rm", "--force", "--stop")


def measure(contender: Contender, number: int) -> Times:
    """Start workers, and end them again."""
    # Those of the last measurement are known until their leases are over.
    wait_for_workers(contender.cluster, 0)
    began = time.perf_counter()
    try:
        contender.start(number)
        running = time.perf_counter() - began
        wait_for_workers(contender.cluster, number)
        ready = time.perf_counter() - began
    finally:
        contender.stop()
    return Times(running, ready)


@contextmanager
def contenders(image: str) -> Iterator[list[Contender]]:
    """Start a cluster without workers, and give the ways to add some."""
    worker = RedisQueueWorkerContainer(image=image)
    # The workers of the other two are killed: their leases shall not outlive a measurement.
    worker.environment |= {
        "DOCKERPARALLEL_LEASE_SECONDS": "2",
        "DOCKERPARALLEL_HEARTBEAT_SECONDS": "0.5",
    }
    cluster = DockerCluster(
        LocalDockerProvider(),
        worker,
        worker_number=0,
        worker_memory=MEMORY_MIB,
        server_cpu=1024,
        job_queue_name=f"bench-{os.getpid()}",
        verbose=0,
    )
    with tempfile.TemporaryDirectory(prefix="dockerparallel-bench-") as folder, cluster:
        configured = cluster.state.worker_container.configure_worker_env(cluster, 1)
        ways = [Ours, DockerRun]
        if shutil.which("docker-compose") or has_compose_plugin():
            ways.append(Compose)
        else:
            print("There is no docker-compose: its column is missing.", file=sys.stderr)
        yield [way(cluster, configured, Path(folder)) for way in ways]


def has_compose_plugin() -> bool:
    """Tell whether ``docker compose`` is there."""
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return asked.returncode == 0


def table(medians: dict[int, dict[str, Times]], names: list[str], part: int) -> Iterator[str]:
    """Give the lines of a table in Markdown; the last column compares ours with the best other."""
    yield f"| containers | {' | '.join(names)} | ours / better of the others |"
    yield f"|---{'|---' * (len(names) + 1)}|"
    for number, row in medians.items():
        seconds = [row[name][part] for name in names]
        ratio = seconds[0] / min(seconds[1:])
        yield f"| {number} | {' | '.join(f'{s:.2f} s' for s in seconds)} | {ratio:.2f} |"


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=5, help="times each (default: %(default)s)")
    parser.add_argument("--numbers", type=int, nargs="+", default=NUMBERS, metavar="N")
    options = parser.parse_args()
    medians: dict[int, dict[str, Times]] = {}
    with redis_queue_image() as image, contenders(image) as ways:
        names = [way.name for way in ways]
        measure(ways[0], 1)
        for number in options.numbers:
            seen: dict[str, list[Times]] = {name: [] for name in names}
            for turn in range(options.repeat):
                # In turn, and each time another one first, so that all meet the same machine.
                for way in [*ways[turn % len(ways) :], *ways[: turn % len(ways)]]:
                    seen[way.name].append(measure(way, number))
                    print(number, way.name, seen[way.name][-1], file=sys.stderr)
            medians[number] = {
                name: Times(*(statistics.median(part) for part in zip(*times, strict=True)))
                for name, times in seen.items()
            }
    for title, part in (("Until N containers run", 0), ("Until N workers take work", 1)):
        print(f"\n{title} (median of {options.repeat}):\n")
        print("\n".join(table(medians, names, part)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
