"""Fixtures for the tests of the queue: a server for each module, a queue for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_queue_harness import Server, Site, running_server

from dockerparallel_redis_queue_container.executor import ClusterExecutor


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """Start a server that the test may kill."""
    folder = tmp_path / "own-server"
    folder.mkdir()
    with running_server(folder) as server:
        yield server


@pytest.fixture
def site(server: Server, tmp_path: Path) -> Iterator[Site]:
    site = Site(server, tmp_path)
    try:
        yield site
    finally:
        site.close()


@pytest.fixture
def executor(site: Site) -> Iterator[ClusterExecutor]:
    """Give an executor on two workers."""
    site.start_workers(2)
    with ClusterExecutor(site.client()) as executor:
        yield executor


@pytest.fixture
def single(site: Site) -> ClusterExecutor:
    """Give an executor on one worker."""
    site.start_workers(1)
    return ClusterExecutor(site.client())
