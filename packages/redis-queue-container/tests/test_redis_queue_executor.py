"""The contract of ``concurrent.futures.Executor``, on real workers."""

from __future__ import annotations

import concurrent.futures
import gc
import operator
import os
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import BrokenExecutor, CancelledError, Future
from pathlib import Path
from typing import Any

import pytest
from redis_queue_harness import Server, Site, is_alive, until

from dockerparallel import BackendError, BrokenClusterError
from dockerparallel_redis_queue_container import ClusterExecutor, RemoteTraceback, settings


def wait_for_file(path: Path) -> str:
    while not path.exists():
        time.sleep(0.01)
    return path.name


def touch_and_wait(begun: Path, go: Path) -> str:
    begun.touch()
    return wait_for_file(go)


def busy(executor: ClusterExecutor, folder: Path) -> Future[str]:
    """Occupy one worker until ``folder/go`` is there."""
    future = executor.submit(touch_and_wait, folder / "begun", folder / "go")
    until((folder / "begun").exists, "the task to begin")
    return future


def test_submit_gives_results_of_functions_with_arguments(executor: ClusterExecutor) -> None:
    assert executor.submit(pow, 2, 10).result(30) == 1024
    assert executor.submit(sorted, [3, 1, 2], reverse=True).result(30) == [3, 2, 1]
    assert executor.submit(dict, fn=1, self=2).result(30) == {"fn": 1, "self": 2}
    offset = 5
    assert executor.submit(lambda *added: sum(added, offset), 1).result(30) == 6


def test_work_is_done_by_other_processes(executor: ClusterExecutor, site: Site) -> None:
    pids = {executor.submit(os.getpid).result(30) for _ in range(20)}
    assert pids <= {worker["pid"] for worker in site.queue().workers()}


def test_an_exception_arrives_with_the_remote_traceback(executor: ClusterExecutor) -> None:
    error = executor.submit(operator.truediv, 1, 0).exception(30)
    assert isinstance(error, ZeroDivisionError)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "ZeroDivisionError" in str(error.__cause__)


def test_what_cannot_be_pickled_raises_and_leaves_no_task(
    executor: ClusterExecutor, site: Site
) -> None:
    with pytest.raises(TypeError, match="pickle"):
        executor.submit(id, threading.Lock())
    with pytest.raises(TypeError, match="pickle"):
        executor.map(abs, [1, threading.Lock()])
    assert executor.submit(abs, -1).result(30) == 1
    until(lambda: site.queue().numbers().sizes == {"waiting": 0, "running": 0}, "no tasks")


def test_wait_and_as_completed(executor: ClusterExecutor, tmp_path: Path) -> None:
    slow: Future[Any] = executor.submit(wait_for_file, tmp_path / "go")
    quick: Future[Any] = executor.submit(abs, -1)
    done, pending = concurrent.futures.wait([slow, quick], 30, return_when="FIRST_COMPLETED")
    assert (done, pending) == ({quick}, {slow})
    (tmp_path / "go").touch()
    assert set(concurrent.futures.as_completed([slow, quick], 30)) == {slow, quick}


def test_callbacks_run_once_also_for_what_is_done(executor: ClusterExecutor) -> None:
    seen: list[Any] = []
    future = executor.submit(abs, -1)
    future.add_done_callback(seen.append)
    future.result(30)
    until(lambda: seen, "the callback")
    future.add_done_callback(seen.append)
    assert seen == [future, future]


def test_map_keeps_the_order_and_ends_with_the_shortest(executor: ClusterExecutor) -> None:
    assert list(executor.map(pow, range(10), [2] * 20)) == [n * n for n in range(10)]
    assert list(executor.map(abs, [])) == []


@pytest.mark.parametrize("chunksize", [1, 3, 100])
def test_map_in_chunks_gives_the_same(executor: ClusterExecutor, chunksize: int) -> None:
    assert list(executor.map(abs, range(-10, 0), chunksize=chunksize)) == list(range(10, 0, -1))


def test_chunks_travel_together(executor: ClusterExecutor, site: Site) -> None:
    list(executor.map(abs, range(10), chunksize=4))
    assert site.counts()["done"] == 3


def test_map_starts_at_once_and_uses_up_its_iterables(executor: ClusterExecutor) -> None:
    items = iter(range(5))
    results = executor.map(abs, items)
    assert list(items) == []
    assert next(results) == 0


@pytest.mark.parametrize("chunksize", [0, -1, 1.5, None, True])
def test_map_refuses_a_chunksize_that_is_none(executor: ClusterExecutor, chunksize: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="chunksize"):
        executor.map(abs, [1], chunksize=chunksize)


def test_map_raises_what_an_item_raises_and_cancels_the_rest(
    single: ClusterExecutor, site: Site
) -> None:
    results = single.map(operator.truediv, [1, 1, 1], [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_map_honours_its_timeout(single: ClusterExecutor, tmp_path: Path, site: Site) -> None:
    results = single.map(wait_for_file, [tmp_path / "go", tmp_path / "go"], timeout=0.2)
    with pytest.raises(TimeoutError):
        next(results)
    # What had not begun was cancelled.
    until(lambda: site.queue().numbers().sizes["waiting"] == 0, "the cancellation")
    (tmp_path / "go").touch()


def test_cancel_works_until_the_task_begins(single: ClusterExecutor, tmp_path: Path) -> None:
    running = busy(single, tmp_path)
    waiting = single.submit(abs, -1)
    seen: list[Any] = []
    waiting.add_done_callback(seen.append)
    assert running.running()
    assert not waiting.running()
    assert not running.cancel()
    assert waiting.cancel()
    assert waiting.cancel()
    assert waiting.cancelled()
    assert waiting.done()
    assert seen == [waiting]
    assert concurrent.futures.wait([waiting], 30).done == {waiting}
    with pytest.raises(CancelledError):
        waiting.result(30)
    (tmp_path / "go").touch()
    assert running.result(30) == "go"
    assert not running.cancel()
    assert not running.running()


def test_shutdown_waits_and_refuses_more(single: ClusterExecutor, tmp_path: Path) -> None:
    future = busy(single, tmp_path)
    threading.Timer(0.1, (tmp_path / "go").touch).start()
    single.shutdown()
    assert future.done()
    single.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        single.submit(abs, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        single.map(abs, [1])


def test_shutdown_without_waiting_leaves_tasks_to_finish(
    single: ClusterExecutor, tmp_path: Path
) -> None:
    future = busy(single, tmp_path)
    single.shutdown(wait=False)
    assert not future.done()
    (tmp_path / "go").touch()
    assert future.result(30) == "go"


def test_shutdown_can_cancel_what_waits(single: ClusterExecutor, tmp_path: Path) -> None:
    running = busy(single, tmp_path)
    waiting = [single.submit(abs, 1) for _ in range(5)]
    single.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    assert not running.done()
    (tmp_path / "go").touch()
    assert running.result(30) == "go"


def test_a_with_block_waits_for_its_tasks(site: Site) -> None:
    site.start_workers(2)
    client = site.client()
    with ClusterExecutor(client) as executor:
        futures = [executor.submit(abs, -n) for n in range(50)]
    assert [future.result(0) for future in futures] == list(range(50))
    with ClusterExecutor(client) as another:
        assert another.submit(abs, -1).result(30) == 1


def test_many_threads_may_submit(executor: ClusterExecutor) -> None:
    results: dict[int, list[int]] = {}

    def use(start: int) -> None:
        futures = [executor.submit(abs, -n) for n in range(start, start + 20)]
        results[start] = [future.result(30) for future in futures]

    threads = [threading.Thread(target=use, args=(start,)) for start in range(0, 160, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {start: list(range(start, start + 20)) for start in range(0, 160, 20)}


def test_big_payloads_travel(executor: ClusterExecutor) -> None:
    size = 20 * 1024 * 1024
    assert len(executor.submit(bytes.__add__, bytes(size), b"x").result(60)) == size + 1


def test_a_result_that_cannot_be_pickled_is_an_exception(executor: ClusterExecutor) -> None:
    with pytest.raises(Exception, match="cannot be pickled"):
        executor.submit(threading.Lock).result(30)
    assert executor.submit(abs, -1).result(30) == 1


def test_an_open_future_does_not_keep_the_executor(
    single: ClusterExecutor, tmp_path: Path, site: Site
) -> None:
    executor = ClusterExecutor(site.client())
    future = executor.submit(wait_for_file, tmp_path / "go")
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None
    (tmp_path / "go").touch()
    assert future.result(30) == "go"


def test_killing_the_server_fails_all_open_futures(own_server: Server, tmp_path: Path) -> None:
    site = Site(own_server, tmp_path)
    try:
        site.start_workers(1, {settings.SERVER_WAIT: "1"})
        executor = ClusterExecutor(site.client(server_timeout=1))
        first: Future[Any] = busy(executor, tmp_path)
        futures: list[Future[Any]] = [first, *(executor.submit(abs, n) for n in range(20))]
        own_server.kill()
        done, pending = concurrent.futures.wait(futures, 30)
        assert not pending
        for future in done:
            error = future.exception()
            assert isinstance(error, BrokenClusterError)
            assert "has not answered" in str(error)
        with pytest.raises(BrokenExecutor):
            executor.submit(abs, 1)
        assert not first.cancel()
        assert not first.running()
        executor.shutdown()
    finally:
        (tmp_path / "go").touch()
        site.close()


def test_a_short_cut_of_the_network_loses_nothing(single: ClusterExecutor, site: Site) -> None:
    futures = [single.submit(abs, -n) for n in range(200)]
    for _ in range(5):
        site.connection.client_kill_filter(_type="normal", skipme=True)
    futures += [single.submit(abs, -n) for n in range(200, 300)]
    assert [future.result(30) for future in futures] == list(range(300))


def test_a_server_that_has_lost_its_data_fails_the_futures(
    own_server: Server, tmp_path: Path
) -> None:
    site = Site(own_server, tmp_path)
    try:
        executor = ClusterExecutor(site.client(server_timeout=20))
        future = executor.submit(abs, 1)
        own_server.kill()
        own_server.start()
        with pytest.raises(BrokenClusterError, match="restarted or emptied"):
            future.result(30)
        with pytest.raises(BrokenClusterError, match="restarted or emptied"):
            executor.submit(abs, 1)
    finally:
        site.close()


def test_closing_the_client_fails_open_futures_and_takes_tasks_back(
    single: ClusterExecutor, tmp_path: Path, site: Site
) -> None:
    running = busy(single, tmp_path)
    waiting = single.submit(abs, 1)
    [client] = site.clients
    threads = threading.active_count()
    client.close()
    client.close()
    for future in (running, waiting):
        with pytest.raises(BrokenClusterError, match="deregistered or the cluster stopped"):
            future.result(0)
    assert site.queue().numbers().sizes["waiting"] == 0
    with pytest.raises(BrokenClusterError):
        single.submit(abs, 1)
    until(lambda: threading.active_count() < threads, "the collector to end")
    (tmp_path / "go").touch()
    until(lambda: site.queue().numbers().sizes["running"] == 0, "the task to end")
    assert not [name for name in site.stored() if name.startswith(("results:", "client:"))]


def test_a_full_server_tells_the_submitter_and_loses_nothing(
    own_server: Server, tmp_path: Path
) -> None:
    site = Site(own_server, tmp_path)
    try:
        site.start_workers(1)
        executor = ClusterExecutor(site.client(server_timeout=20, memory_timeout=0.2))
        running = busy(executor, tmp_path)
        waiting = executor.submit(abs, -1)
        site.connection.config_set("maxmemory", 1)
        with pytest.raises(BackendError, match="server is full"):
            executor.submit(abs, 2).result(30)
        (tmp_path / "go").touch()
        assert running.result(30) == "go"
        site.connection.config_set("maxmemory", 0)
        assert waiting.result(30) == 1
    finally:
        site.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_tasks_of_its_own(single: ClusterExecutor, tmp_path: Path) -> None:
    mine = busy(single, tmp_path)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            (tmp_path / "go").touch()
            code = 0 if single.submit(abs, -5).result(30) == 5 else 2
            single.shutdown()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert mine.result(30) == "go"
    assert single.submit(abs, -6).result(30) == 6


SCRIPT = """
import sys, time
from dockerparallel import Endpoint
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.executor import ClusterExecutor
from dockerparallel_redis_queue_container.settings import QueueSettings
endpoint = Endpoint("127.0.0.1", int(sys.argv[1]))
client = QueueClient(endpoint, sys.argv[2], sys.argv[3], QueueSettings(), 5.0)
executor = ClusterExecutor(client)
futures = [executor.submit(time.sleep, 3600) for _ in range(3)]
{ending}
"""


@pytest.mark.parametrize("ending", ["pass", "sys.exit(0)", "del client, executor"])
def test_leaving_the_interpreter_with_open_futures_is_quiet(site: Site, ending: str) -> None:
    server = site.server
    process = subprocess.Popen(
        [
            *(sys.executable, "-W", "error", "-c", SCRIPT.format(ending=ending)),
            *(str(server.port), server.password, site.name),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, b"")
    assert not is_alive(process.pid)
    assert not [name for name in site.stored() if name.startswith(("results:", "client:"))]
