"""Real clusters of processes for the integration tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fargate_rig import fargate  # noqa: F401 - as below
from redis_queue_test_image import redis_queue_image  # noqa: F401 - a fixture for all

from dockerparallel import DockerCluster

DEADLINE = 30.0

MakeCluster = Callable[..., DockerCluster]


@pytest.fixture
def make_cluster(request: pytest.FixtureRequest) -> Iterator[MakeCluster]:
    """Make clusters with a name of their own, and stop them after the test."""
    made: list[DockerCluster] = []

    def make(**options: Any) -> DockerCluster:
        options.setdefault("job_queue_name", f"test-{os.getpid()}-{len(made)}")
        options.setdefault("provider", "local-process")
        options.setdefault("worker_container", "redis-queue")
        cluster = DockerCluster(**{"verbose": 0, **options})
        made.append(cluster)
        return cluster

    yield make
    for cluster in made:
        cluster.stop()


@pytest.fixture
def cluster(make_cluster: MakeCluster) -> DockerCluster:
    """Start a cluster of two workers."""
    cluster = make_cluster(worker_number=2)
    cluster.start()
    return cluster


def eventually(condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Wait until the condition holds and return its value; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return value


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    """Give tests the bounded wait."""
    return eventually


def processes_with(text: str) -> dict[int, str]:
    """Return command lines, by process id, of live processes that belong to a cluster.

    Its name stands in the environment of each, or, where Redis has overwritten that to change its
    title, in the path of the log that it writes.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            # A zombie has no command line.
            if not line or int(folder.name) == os.getpid():
                continue
            output = folder / "fd" / "1"
            told = (folder / "environ").read_bytes() + os.fsencode(output.readlink())
        except OSError:
            # It ended meanwhile, or belongs to another user.
            continue
        if text.encode() in told:
            found[int(folder.name)] = line
    return found


@pytest.fixture(name="processes_with")
def processes_with_fixture() -> Callable[[str], dict[int, str]]:
    """Give tests a look at processes."""
    return processes_with
