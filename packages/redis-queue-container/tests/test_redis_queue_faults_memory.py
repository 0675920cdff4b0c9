"""A server whose memory is full: submitters wait or are told, and all else goes on."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_queue_fault_tasks import give
from redis_queue_harness import PATIENCE, Server, Site, running_server, until

from dockerparallel_redis_queue_container import (
    QueueFullError,
    SettingsError,
    outcomes,
    settings,
)
from dockerparallel_redis_queue_container.executor import ClusterExecutor
from dockerparallel_redis_queue_container.futures import ClusterFuture
from dockerparallel_redis_queue_container.large_outcomes import read_stub
from dockerparallel_redis_queue_container.records import Delivery, Task
from dockerparallel_redis_queue_container.serialization import TaskPickler
from dockerparallel_redis_queue_container.server import configuration
from dockerparallel_redis_queue_container.settings import ServerSettings
from dockerparallel_redis_queue_container.task_queue import TaskQueue

pytestmark = pytest.mark.faults

MEGABYTE = 1024 * 1024
ROOM = 8 * MEGABYTE


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def small(small_server: Server, tmp_path: Path) -> Iterator[Site]:
    """Give a queue on a server with room for some megabytes."""
    site = Site(small_server, tmp_path)
    site.environment |= {settings.LEASE: "1", settings.HEARTBEAT: "0.2"}
    try:
        limit(site, used(site) + ROOM)
        site.connection.config_resetstat()
        yield site
    finally:
        limit(site, 0)
        site.close()


def limit(site: Site, memory: int) -> None:
    site.connection.config_set("maxmemory", memory)


def used(site: Site, name: str = "used_memory") -> int:
    return int(site.connection.info("memory")[name])


def is_full(site: Site) -> bool:
    found = site.connection.info("memory")
    return bool(found["used_memory"] >= found["maxmemory"])


def fill(site: Site) -> None:
    """Fill the memory by something that is not ours, until the server has none at all."""
    limit(site, 1)


def change(data: bytes, number: int) -> tuple[int, int, bytes]:
    return number, data[0], data[:1] * len(data)


def test_a_bulk_submitter_is_slowed_until_results_have_freed_memory(small: Site) -> None:
    small.start_workers(2)
    executor = ClusterExecutor(small.client())
    count, size = 150, 400_000
    results = executor.map(change, (bytes([n]) * size for n in range(count)), range(count))
    for number, result in enumerate(results):
        assert result == (number, number, bytes([number]) * size)
    # Sixty megabytes have gone through it.
    assert used(small, "used_memory_peak") < used(small, "maxmemory") + 24 * MEGABYTE
    assert small.counts() == {"done": count}


def test_who_waits_for_too_long_is_told_and_what_was_taken_is_done(small: Site) -> None:
    client = small.client(memory_timeout=0.5)
    executor = ClusterExecutor(client)
    taken: list[ClusterFuture[Any]] = []

    def submit_for_ever() -> None:
        for number in itertools.count():
            taken.append(executor.submit(give, number, 10))
            taken.append(executor.submit(change, bytes([number]) * 300_000, number))

    with pytest.raises(QueueFullError, match=r"more server_memory, or wait longer \(memory_time"):
        submit_for_ever()
    # To cancel, to come, and to go needs no room.
    assert taken.pop(4).cancel()
    fill(small)
    kept = [client.submit_call(give, (n, 10), {}, wait=False) for n in range(3)]
    assert kept.pop().cancel()
    small.client().close()
    for future in kept:
        assert isinstance(future.exception(PATIENCE), QueueFullError)
    small.start_workers(2)
    assert len(taken) > 10
    for future in taken:
        assert future.result(PATIENCE)
    assert small.counts() == {"done": len(taken)}
    limit(small, 0)
    assert executor.submit(give, 1, 1).result(PATIENCE) == b"\1"


def submit_raw(queue: TaskQueue, client: str, count: int, size: int) -> None:
    """Submit as a client that fetches nothing by itself."""
    queue.announce_client(client)
    pickler = TaskPickler(queue.put_code)
    tasks = [Task(f"{client}.{n}", pickler.pack(give, (n, size), {}).payload) for n in range(count)]
    assert queue.submit(client, 1, tasks)


def test_results_that_nobody_fetches_hold_up_their_own_tasks_only(small: Site) -> None:
    queue, count = small.queue(), 40
    submit_raw(queue, "slow", count, MEGABYTE)
    submit_raw(queue, "quick", 10, 1)
    small.start_workers(2)
    until(lambda: is_full(small), "the results to fill the memory")
    quick = collect(small, queue, "quick", 10)
    assert {name: len(data) for name, data in quick.items()} == {f"quick.{n}": 1 for n in range(10)}
    assert is_full(small)
    assert small.counts()["done"] < count + 10
    # Workers are renewed and hold their place, and what one of them has is not lost with it.
    [first, _] = small.queue().workers()
    os.kill(first["pid"], signal.SIGKILL)
    until(lambda: small.counts().get("died") == 1, "the death to be noticed")
    assert used(small) < used(small, "maxmemory") + 12 * MEGABYTE
    slow = collect(small, queue, "slow", count)
    assert slow == {f"slow.{n}": give(n, MEGABYTE) for n in range(count)}
    assert small.counts()["done"] == count + 10
    assert small.counts()["died"] == 1
    queue.forget_client("slow")


def collect(site: Site, queue: TaskQueue, client: str, count: int) -> dict[str, bytes]:
    store = site.store()
    found: dict[str, bytes] = {}
    arrived: list[Delivery] = []

    def fetch() -> bool:
        nonlocal arrived
        arrived = queue.take(client, arrived)
        for delivery in arrived:
            assert delivery.task_id not in found
            outcome: Any = delivery.outcome
            if delivery.is_stored:
                outcome = store.get(delivery.task_id, delivery.outcome)
                store.drop(delivery.task_id, read_stub(delivery.outcome).worker)
            found[delivery.task_id] = outcomes.load(outcome)[1]
        return len(found) == count and not arrived

    until(fetch, "the results")
    store.close()
    return found


@pytest.mark.parametrize("way", ["callback", "large callback"])
def test_a_callback_that_submits_is_told_at_once_or_sent_later(small: Site, way: str) -> None:
    client = small.client(memory_timeout=60)
    told: list[object] = []
    submitted: list[Callable[[], object]] = []

    def submit(_future: object) -> None:
        try:
            data = bytes(300_000 if way == "large callback" else 10)
            future = client.submit(len, data)
            submitted.append(lambda: future.result(PATIENCE))
        except QueueFullError as error:
            told.append(error)

    first = client.submit(give, 1, 1)
    first.add_done_callback(submit)
    fill(small)
    small.start_workers(1)
    assert first.result(PATIENCE) == b"\1"
    until(lambda: told or submitted, "the callback")
    limit(small, 0)
    assert (len(told), len(submitted)) == ((1, 0) if way == "large callback" else (0, 1))
    assert all(result() for result in submitted)


def test_the_memory_of_the_server_is_limited() -> None:
    given = ServerSettings(port=1, bind_address=None, password="x", max_memory=12345)
    assert "maxmemory 12345\n" in configuration(given)
    with pytest.raises(SettingsError, match=settings.MAX_MEMORY):
        ServerSettings.from_environment(
            {settings.PASSWORD: "x", settings.PORT: "1", settings.MAX_MEMORY: "1gb"}
        )
