"""Large results: stored beside the records, fetched once, gone when they have been delivered."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import wait
from typing import Any

import pytest
import redis
from redis_queue_harness import Site, until

from dockerparallel_redis_queue_container import outcomes
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.errors import ResultError
from dockerparallel_redis_queue_container.held_tasks import HeldTasks
from dockerparallel_redis_queue_container.jobs import JobRequest, Wanted
from dockerparallel_redis_queue_container.large_outcomes import LARGE_RESULT, LargeOutcome
from dockerparallel_redis_queue_container.records import Task, record_of
from dockerparallel_redis_queue_container.task_queue import TaskQueue

MEGABYTE = 1024 * 1024


class Holder:
    """Gives its data out of band, as arrays of numpy do."""

    def __init__(self, data: bytes | bytearray) -> None:
        self.data = data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Holder) and self.data == other.data

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __reduce_ex__(self, _protocol: Any) -> Any:
        return Holder, (pickle.PickleBuffer(self.data),)


VALUES = {
    "bytes": b"x" * LARGE_RESULT,
    "bytearray": bytearray(LARGE_RESULT),
    "text": "x" * LARGE_RESULT,
    "text beyond ASCII": "\N{SNOWMAN}" * LARGE_RESULT,
    "numbers": list(range(LARGE_RESULT)),
    "bytes in a list": [b"x" * LARGE_RESULT, 1],
    "out of band": Holder(bytearray(LARGE_RESULT)),
    "out of band, fixed": Holder(b"x" * LARGE_RESULT),
    "several": {"a": Holder(bytearray(LARGE_RESULT)), "b": (Holder(b"y" * LARGE_RESULT), 3)},
}


def large(value: object) -> LargeOutcome:
    outcome = outcomes.success(value)
    assert isinstance(outcome, LargeOutcome)
    return outcome


@pytest.mark.parametrize("name", VALUES)
def test_a_large_result_comes_as_it_was(site: Site, name: str) -> None:
    value, store = VALUES[name], site.store()
    outcome = large(value)
    assert outcome.size >= LARGE_RESULT
    # A view of a BytesIO that is garbage with it crashes some versions of Python.
    assert {type(data) for _, data in outcome.parts} <= {bytes, bytearray}
    stub = store.put("client.1", "w", outcome)
    assert len(stub) < 200
    for travelled in (store.get("client.1", stub), outcome.inline()):
        assert travelled is not None
        ok, result = outcomes.load(travelled)
        assert ok
        assert result == value
        held = getattr(result, "data", result)
        assert type(held) is type(getattr(value, "data", value))
    # Another value in its place is not taken for it.
    store.put("client.1", "w", LargeOutcome([("w", b"other")]))
    assert store.get("client.1", stub) is None
    store.drop("client.1", "w")
    assert store.get("client.1", stub) is None
    assert site.stored() == set()
    store.close()


def test_arrays_come_as_they_were() -> None:
    np = pytest.importorskip("numpy")
    for value in (
        np.arange(LARGE_RESULT),
        np.asfortranarray(np.arange(LARGE_RESULT).reshape(64, -1)),
        np.arange(2 * LARGE_RESULT)[::2],
        np.frombuffer(b"x" * LARGE_RESULT, np.uint8),
    ):
        outcome = large(value)
        for travelled in (outcome, outcome.inline()):
            ok, result = outcomes.load(travelled)
            assert ok
            assert np.array_equal(result, value)
            assert result.flags.writeable == value.flags.writeable
            # By columns where it was.
            assert result.flags.fnc == value.flags.fnc


def test_what_is_smaller_comes_in_its_record() -> None:
    for value in (b"x" * (LARGE_RESULT - 100), Holder(bytearray(LARGE_RESULT - 500))):
        assert isinstance(outcomes.success(value), bytes)


def test_what_the_next_task_may_change_is_copied_and_bytes_are_not() -> None:
    holder = Holder(bytearray(LARGE_RESULT))
    outcome = large(holder)
    holder.data[0] = 1  # type: ignore[index]
    assert outcomes.load(outcome)[1].data[0] == 0
    value = b"x" * LARGE_RESULT
    assert outcomes.load(large(value))[1] is value


def sent_by(site: Site) -> int:
    found: Any = site.connection.info("stats")
    return int(found["total_net_output_bytes"])


def give(number: int, size: int) -> bytes:
    return bytes([number]) * size


def test_they_are_fetched_once_and_leave_nothing(site: Site) -> None:
    site.start_workers(2)
    client = site.client()
    before = sent_by(site)
    futures = [client.submit(give, number, MEGABYTE) for number in range(20)]
    assert [future.result(30) for future in futures] == [give(n, MEGABYTE) for n in range(20)]
    until(lambda: not [name for name in site.stored() if name.startswith("parts")], "no parts")
    counts = site.queue().numbers().counts
    assert 20 * MEGABYTE < counts["result_bytes"] < 20 * MEGABYTE + 10_000
    assert 20 * MEGABYTE < sent_by(site) - before < 21 * MEGABYTE


def test_a_short_cut_of_the_network_loses_none(site: Site) -> None:
    site.start_workers(2)
    client = site.client()
    futures = [client.submit(give, number, 2 * MEGABYTE) for number in range(60)]
    cuts = 0
    while cuts < 20 and wait(futures, timeout=0.02).not_done:
        site.connection.client_kill_filter(_type="normal", skipme=True)
        cuts += 1
    assert cuts
    for number, future in enumerate(futures):
        assert future.result(60) == give(number, 2 * MEGABYTE)
    assert site.counts()["done"] == 60


@pytest.fixture
def queue(site: Site) -> TaskQueue:
    """Give a queue with two tasks of a client."""
    queue = site.queue()
    queue.announce_client("client")
    assert queue.submit("client", 1, [Task("client.1", b"x"), Task("client.2", b"x")])
    return queue


def parts(site: Site) -> list[str]:
    found = site.queue().command("HKEYS", site.queue().key("parts:client"))
    return sorted(name.decode() for name in found)


def test_what_a_worker_had_stored_goes_with_it(site: Site, queue: TaskQueue) -> None:
    store = site.store()
    assert [task.task_id for task in queue.claim("w").tasks] == ["client.1"]
    store.put("client.1", "w", large(VALUES["bytes"]))
    store.put("client.1", "v", large(VALUES["bytes"]))
    queue.bury("w", b"Edied", blame=True)
    assert parts(site) == ["client.1 v"]
    store.close()


def test_an_outdated_attempt_takes_its_own_away(site: Site, queue: TaskQueue) -> None:
    late, quick = (HeldTasks(queue, name, site.store()) for name in ("late", "quick"))
    for held in (late, quick):
        held.ask(1)
        assert (claim := held.begin()) is not None
        assert claim.task_id == "client.1"
        if held is late:
            queue.bury("late", b"Edied", blame=False)
    for held in (quick, late):
        held.finish(large(VALUES["bytes"]))
        held.ask(0)
    assert parts(site) == ["client.1 quick"]
    [delivery] = queue.take("client")
    assert delivery.is_stored
    for held in (late, quick):
        held._store.close()


def test_what_counted_stays_though_its_reply_was_lost(
    site: Site, queue: TaskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldTasks(queue, "w", site.store())
    held.ask(1)
    held.begin()
    held.finish(large(VALUES["bytes"]))
    real = TaskQueue.claim

    def lose(self: TaskQueue, *args: Any, **options: Any) -> Any:
        real(self, *args, **options)
        raise redis.ConnectionError

    with monkeypatch.context() as lossy:
        lossy.setattr(TaskQueue, "claim", lose)
        for _ in range(2):
            with pytest.raises(redis.ConnectionError):
                held.ask(0)
    held.ask(0)
    assert parts(site) == ["client.1 w"]
    [delivery] = queue.take("client")
    assert held._store.get("client.1", delivery.outcome) is not None
    held._store.close()


def test_those_of_a_client_that_is_gone_go_too(site: Site, queue: TaskQueue) -> None:
    store = site.store()
    first, second = (queue.claim(name).tasks[0].task_id for name in ("w", "v"))
    queue.claim("w", [record_of(first, store.put(first, "w", large(VALUES["bytes"])))], most=0)
    assert 0 < site.connection.ttl(queue.key("parts:client")) <= queue.settings.result_expiry
    queue.forget_client("client")
    assert parts(site) == []
    late = store.put(second, "v", large(VALUES["bytes"]))
    assert parts(site) == ["client.2 v"]
    queue.claim("v", [record_of(second, late)], most=0)
    assert parts(site) == []
    store.close()


def test_at_full_memory_a_record_has_it_all(site: Site, queue: TaskQueue) -> None:
    store = site.store()
    site.connection.config_set("maxmemory", 1)
    try:
        outcome = store.put("client.1", "w", large(VALUES["several"]))
    finally:
        site.connection.config_set("maxmemory", 0)
    assert outcomes.load(outcome) == (True, VALUES["several"])
    assert parts(site) == []
    # The connection is good for the next.
    stub = store.put("client.1", "w", large(VALUES["bytes"]))
    found = store.get("client.1", stub)
    assert found is not None
    assert outcomes.load(found) == (True, VALUES["bytes"])
    store.close()


def test_a_result_that_the_server_has_lost_fails_its_future_alone(site: Site) -> None:
    client, queue, store = site.client(), site.queue(), site.store()
    lost, kept = (client.submit(abs, number) for number in (1, 2))
    for future, stays in ((lost, False), (kept, True)):
        [task] = queue.claim("w", holding=0).tasks
        assert task.task_id == future.task_id
        stub = store.put(task.task_id, "w", large(VALUES["bytes"]))
        if not stays:
            store.drop(task.task_id, "w")
        queue.claim("w", [record_of(task.task_id, stub)], most=0)
    with pytest.raises(ResultError, match="the server has lost its result"):
        lost.result(30)
    assert kept.result(30) == VALUES["bytes"]
    store.close()


def test_a_job_keeps_them_until_it_is_removed(site: Site) -> None:
    site.start_workers(1)
    begun = holder(site, "create")
    first = begun.submit(os.urandom, MEGABYTE).result(30)
    begun.close()
    attached = holder(site, "attach")
    assert attached.attached_futures[0].result(30) == first
    assert site.connection.ttl(site.queue().key("parts:@nightly")) > 0
    attached.job_book.remove("nightly", force=True)
    assert "parts:@nightly" not in site.stored()


def holder(site: Site, wanted: Wanted) -> QueueClient:
    client = QueueClient(
        *(site.server.endpoint, site.server.password, site.name, site.settings, 5.0),
        job=JobRequest("nightly", wanted),
    )
    site.clients.append(client)
    return client
