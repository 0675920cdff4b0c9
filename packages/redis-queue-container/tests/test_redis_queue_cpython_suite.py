"""CPython's own tests of executors, run on ``ClusterExecutor``, a real server and real workers.

They are those of the interpreter that runs this file, and are skipped where it has none: many
distributions leave its tests out.
"""

from __future__ import annotations

import importlib
import unittest
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis_queue_harness import Server, Site

from dockerparallel_redis_queue_container import ClusterExecutor
from dockerparallel_redis_queue_container.client import QueueClient

try:
    util, mixins, waiting, completing, shutting_down = (
        importlib.import_module(f"test.test_concurrent_futures.{name}")
        for name in ("util", "executor", "test_wait", "test_as_completed", "test_shutdown")
    )
except ImportError as error:
    pytest.skip(f"this interpreter has no such tests: {error}", allow_module_level=True)

WORKERS = 5

PRINTS = (
    "it looks for what the task prints: a task prints into the log of its worker, and the end of "
    "the interpreter waits for no task of a cluster"
)
EXCLUDED = {
    "test_max_workers_negative": "no max_workers: the cluster has its number of workers",
    "test_interpreter_shutdown": PRINTS,
    "test_hang_gh83386": PRINTS,
}
# Lets a script of CPython's import the executor from where it takes the pools.
PREAMBLE = """
import concurrent.futures
from dockerparallel import Endpoint
from dockerparallel_redis_queue_container import ClusterExecutor
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.settings import QueueSettings
class Pool(ClusterExecutor):
    def __init__(self, max_workers):
        super().__init__(
            QueueClient(Endpoint("127.0.0.1", {port}), {password!r}, {name!r}, QueueSettings(), 5.0)
        )
concurrent.futures.Pool = Pool
"""


class Pool(ClusterExecutor):
    """Is made as CPython makes its pools."""

    client: QueueClient

    def __init__(self, max_workers: int) -> None:
        assert 1 <= max_workers <= WORKERS
        super().__init__(self.client)


@pytest.fixture(scope="module", autouse=True)
def site_of_the_pools(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(server, tmp_path_factory.mktemp("site"))
    try:
        site.start_workers(WORKERS)
        Pool.client = site.client()
        # Its threads are there before the first test looks whether it has left any.
        list(Pool(1).map(abs, range(100)))
        yield site
    finally:
        site.close()


@pytest.fixture(autouse=True)
def scripts_find_the_server(site_of_the_pools: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    server = site_of_the_pools.server
    preamble = PREAMBLE.format(
        port=server.port, password=server.password, name=site_of_the_pools.name
    )
    run: Callable[..., Any] = shutting_down.assert_python_ok
    monkeypatch.setattr(
        shutting_down, "assert_python_ok", lambda flag, script: run(flag, preamble + script)
    )


def on_the_cluster(mixin: Any) -> type[unittest.TestCase]:
    """Return the tests of ``mixin``, as CPython makes them for its own pools."""
    members: dict[str, Any] = {"executor_type": Pool, "__module__": __name__}
    for name, reason in EXCLUDED.items():
        if hasattr(mixin, name):
            members[name] = unittest.skip(reason)(getattr(mixin, name))
    bases = (mixin, util.ExecutorMixin, util.BaseTestCase)
    return type(f"Cluster{mixin.__name__}", bases, members)


ExecutorTest = on_the_cluster(mixins.ExecutorTest)
WaitTest = on_the_cluster(waiting.WaitTests)
AsCompletedTest = on_the_cluster(completing.AsCompletedTests)
ShutdownTest = on_the_cluster(shutting_down.ExecutorShutdownTest)
