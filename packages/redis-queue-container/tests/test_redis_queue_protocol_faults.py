"""The steps of the queue on a server that was away, or whose memory is full; without workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from redis_queue_harness import Site

from dockerparallel_redis_queue_container.keys import key_prefix
from dockerparallel_redis_queue_container.records import Task, record_of
from dockerparallel_redis_queue_container.task_queue import TaskQueue

CLIENT = "client"
MEGABYTE = 1024 * 1024
HOUR = 3_600_000


@pytest.fixture
def queue(site: Site) -> TaskQueue:
    queue = site.queue()
    queue.announce_client(CLIENT)
    return queue


@contextmanager
def full_memory(site: Site) -> Iterator[None]:
    site.connection.config_set("maxmemory", 1)
    try:
        yield
    finally:
        site.connection.config_set("maxmemory", 0)


def tasks(*numbers: int, client: str = CLIENT) -> list[Task]:
    return [Task(f"{client}.{number}", b"payload") for number in numbers]


def claim(queue: TaskQueue, worker: str, *finished: bytes, **options: int) -> list[str]:
    return [claim.task_id for claim in queue.claim(worker, finished, **options).tasks]


def done(task: str, size: int = 1) -> bytes:
    return record_of(task, b"R" * size)


def now(site: Site) -> int:
    seconds, microseconds = site.connection.time()
    return 1000 * seconds + microseconds // 1000


def end_leases(site: Site, *workers: str, reaped: int) -> None:
    """End leases a moment ago, where the last reap was so many milliseconds ago."""
    prefix = key_prefix(site.name)
    site.connection.zadd(prefix + "leases", dict.fromkeys(workers, now(site) - 10))
    site.connection.set(prefix + "reaped", now(site) - reaped)


def test_nobody_is_taken_for_dead_where_nobody_has_looked(site: Site, queue: TaskQueue) -> None:
    queue.submit(CLIENT, 1, tasks(1, 2))
    assert claim(queue, "a") + claim(queue, "b") == ["client.1", "client.2"]
    end_leases(site, "a", "b", reaped=HOUR)
    assert queue.reap(b"Edied") == 0
    # One of them is heard of again, and the other is not.
    end_leases(site, "a", reaped=100)
    assert queue.reap(b"Edied") == 1
    lease: object = site.connection.zscore(key_prefix(site.name) + "leases", "b")
    assert isinstance(lease, float)
    assert lease > now(site)
    assert queue.claim("b", [done("client.2")], most=0, holding=0).dropped == []
    assert [claim.attempts for claim in queue.claim("c").tasks] == [1]


def test_a_lease_that_was_over_at_the_last_look_stays_so(site: Site, queue: TaskQueue) -> None:
    queue.submit(CLIENT, 1, tasks(1))
    claim(queue, "late")
    end_leases(site, "late", reaped=HOUR)
    leases = key_prefix(site.name) + "leases"
    site.connection.zadd(leases, {"late": now(site) - HOUR - 1000})
    assert queue.reap(b"Edied") == 1


def test_a_submission_after_a_gap_is_not_taken(queue: TaskQueue) -> None:
    assert queue.submit(CLIENT, 1, tasks(1))
    assert not queue.submit(CLIENT, 3, tasks(3))
    assert queue.submit(CLIENT, 2, tasks(2))
    assert queue.client_known(CLIENT, 2)
    assert not queue.client_known(CLIENT, 3)
    assert claim(queue, "w") + claim(queue, "v") == ["client.1", "client.2"]


def test_only_a_submission_needs_room(site: Site, queue: TaskQueue) -> None:
    queue.submit(CLIENT, 1, tasks(1, 2, 3, 4, 5))
    assert claim(queue, "w", most=2) == ["client.1", "client.2"]
    with full_memory(site):
        with pytest.raises(redis.OutOfMemoryError):
            queue.submit(CLIENT, 2, tasks(6))
        assert queue.submit(CLIENT, 1, tasks(1))
        queue.announce_client("other")
        queue.forget_client("other")
        queue.renew([("w", '{"started": 1}'), ("v", '{"started": 2}')])
        assert len(queue.workers()) == 2
        assert queue.give_back("w", ["client.2"]) == 1
        assert claim(queue, "w", done("client.1", 3 * MEGABYTE), most=0) == []
        assert queue.cancel(["client.2"]) == [True]
        [first] = queue.take(CLIENT, [])
        assert (first.task_id, len(first.outcome)) == ("client.1", 3 * MEGABYTE)
        assert queue.take(CLIENT, [first]) == []
        assert claim(queue, "v", most=10) == ["client.3"]
        assert queue.bury("v", b"Edied", blame=True) == 1
        assert claim(queue, "w", most=10) == ["client.3"]
        end_leases_of_all(site)
        assert queue.reap(b"Edied") == 1
        assert claim(queue, "u", most=10) == ["client.3"]
        assert queue.numbers().counts["died"] == 2
    assert queue.submit(CLIENT, 2, tasks(6))


def end_leases_of_all(site: Site) -> None:
    # As time does it: a command of a test would be refused.
    site.connection.config_set("maxmemory", 0)
    end_leases(site, "w", reaped=100)
    site.connection.config_set("maxmemory", 1)


def test_at_full_memory_tasks_come_one_by_one_and_not_for_who_does_not_fetch(
    site: Site, queue: TaskQueue
) -> None:
    queue.announce_client("other")
    queue.submit(CLIENT, 1, tasks(1, 2, 3))
    queue.submit("other", 1, tasks(1, client="other"))
    with full_memory(site):
        assert claim(queue, "w", most=10) == ["client.1"]
        assert claim(queue, "w", most=10, holding=1) == []
        assert claim(queue, "w", done("client.1", 2 * MEGABYTE), most=10) == ["other.1"]
        answer = queue.claim("w", [done("other.1")], most=10)
        assert (answer.tasks, answer.spare) == ([], True)
        queue.take(CLIENT, queue.take(CLIENT, []))
        assert claim(queue, "w", most=10) == ["client.2"]
    assert claim(queue, "w", done("client.2"), most=10) == ["client.3"]


def test_what_is_left_when_all_is_done_expires(site: Site, queue: TaskQueue) -> None:
    queue.put_code("digest", b"bundle")
    queue.submit(CLIENT, 1, tasks(1))
    claim(queue, "w")
    queue.reap(b"Edied")
    assert site.connection.ttl(key_prefix(site.name) + "code") == -1
    claim(queue, "w", done("client.1"))
    queue.renew([("w", '{"started": 1}')])
    queue.forget_client(CLIENT)
    queue.reap(b"Edied")
    assert "code" in site.stored()
    kept_for_ever = {
        name for name in site.stored() if site.connection.ttl(key_prefix(site.name) + name) == -1
    }
    assert kept_for_ever == set()
    queue.announce_client(CLIENT)
    queue.submit(CLIENT, 1, tasks(2))
    assert site.connection.ttl(key_prefix(site.name) + "code") == -1
