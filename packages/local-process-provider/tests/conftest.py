"""Fixtures of this package's tests: a runtime folder of its own for each, empty at the end."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from local_process_parts import TinyContainer, processes_naming, some_port, wait_for

from dockerparallel import DockerCluster
from dockerparallel_local_process_provider import LocalProcessProvider


@pytest.fixture(autouse=True)
def runtime(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path | None]:
    """Give the test a runtime folder, and fail it where it leaves a process or a file."""
    if "conformance_stages" in request.fixturenames:
        # These tests share clusters, which are ended after the last; they have the run's folder.
        yield None
        return
    parent = Path(tempfile.mkdtemp(prefix="local-", dir=os.environ.get("XDG_RUNTIME_DIR")))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(parent))
    yield parent
    try:
        wait_for("the end of all processes", lambda: not processes_naming(parent))
    finally:
        for pid in processes_naming(parent):
            os.kill(pid, signal.SIGKILL)
    left = [str(path) for path in parent.rglob("*")]
    assert not left
    parent.rmdir()


@pytest.fixture
def make_cluster(runtime: Path) -> Iterator[Callable[..., DockerCluster]]:
    """Make clusters that are stopped after the test."""
    with ExitStack() as clusters:

        def make(
            container: TinyContainer | None = None, timeout: float = 10.0, **options: Any
        ) -> DockerCluster:
            cluster = DockerCluster(
                provider=LocalProcessProvider(stop_timeout=timeout),
                worker_container=container or TinyContainer(),
                **{"verbose": 0, "worker_number": 1, **options},
            )
            cluster.config.server_port = some_port()
            clusters.callback(cluster.stop)
            return cluster

        yield make
