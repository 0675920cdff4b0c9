"""One executor used from many threads at once, and a cluster that is lost meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pytest
from redis_queue_harness import Server, Site, together, until
from test_redis_queue_executor import busy

from dockerparallel import BrokenClusterError
from dockerparallel_redis_queue_container import ClusterExecutor, settings


def test_map_and_cancel_get_their_turn_while_others_submit_without_a_pause(
    executor: ClusterExecutor,
) -> None:
    stop = threading.Event()

    def flood(_: int) -> None:
        while not stop.is_set():
            executor.submit(abs, -1)

    with ThreadPoolExecutor(2) as pool:
        floods = [pool.submit(flood, number) for number in range(2)]
        try:
            assert list(executor.map(abs, range(-3, 0))) == [3, 2, 1]
            executor.submit(abs, -1).cancel()
        finally:
            stop.set()
        for each in floods:
            each.result(30)
    executor.shutdown(wait=False, cancel_futures=True)


def test_what_is_submitted_during_a_shutdown_is_refused_or_waited_for(site: Site) -> None:
    site.start_workers(1)
    client = site.client()
    for _ in range(10):
        executor = ClusterExecutor(client)
        futures: list[Any] = []
        refused: list[str] = []

        def use(
            index: int,
            executor: ClusterExecutor = executor,
            futures: Any = futures,
            refused: list[str] = refused,
        ) -> None:
            if index == 0:
                executor.shutdown()
                assert all(future.done() for future in list(futures))
                return
            try:
                while True:
                    futures.append(executor.submit(abs, -1))
            except RuntimeError as error:
                refused.append(str(error))

        together(4, use)
        assert {future.result(0) for future in futures} <= {1}
        assert refused == ["cannot schedule new futures after shutdown"] * 3


def test_all_ways_at_once_from_many_threads(executor: ClusterExecutor) -> None:
    def use(index: int) -> list[int]:
        if index % 3 == 0:
            return list(executor.map(abs, range(50), buffersize=5))
        if index % 3 == 1:
            return list(executor.map(abs, range(50), chunksize=3))
        futures = {executor.submit(abs, -n): n for n in range(50)}
        return sorted(future.result() for future in as_completed(futures, 60))

    assert together(9, use) == [list(range(50))] * 9


def test_an_event_loop_runs_tasks_in_the_executor(executor: ClusterExecutor) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(executor, abs, -n) for n in range(20)))

    assert asyncio.run(main()) == list(range(20))


def test_a_lost_cluster_fails_every_way_of_waiting(own_server: Server, tmp_path: Path) -> None:
    site = Site(own_server, tmp_path)
    try:
        site.start_workers(1, {settings.SERVER_WAIT: "1"})
        executor = ClusterExecutor(site.client(server_timeout=1))
        long = busy(executor, tmp_path)
        called: list[Any] = []
        long.add_done_callback(called.append)
        mapped = executor.map(abs, range(10))
        lazy = executor.map(abs, itertools.count(), buffersize=2)
        own_server.kill()
        with pytest.raises(BrokenClusterError):
            next(mapped)
        with pytest.raises(BrokenClusterError):
            list(lazy)
        assert list(as_completed([long], 30)) == [long]
        until(lambda: called == [long], "the callback")
        for use in (
            lambda: executor.submit(abs, 1),
            lambda: executor.map(abs, [1]),
            lambda: executor.map(abs, [1], buffersize=1),
        ):
            with pytest.raises(BrokenClusterError):
                use()
        executor.shutdown(cancel_futures=True)
    finally:
        (tmp_path / "go").touch()
        site.close()
