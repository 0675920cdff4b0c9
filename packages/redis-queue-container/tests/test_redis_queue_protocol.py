"""The steps of the queue on a real server, without workers: what may happen in between."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from redis_queue_harness import Site, until

from dockerparallel_redis_queue_container import settings
from dockerparallel_redis_queue_container.task_queue import Finished, TaskQueue

CLIENT = "client"


@pytest.fixture
def queue(site: Site) -> TaskQueue:
    queue = site.queue()
    queue.announce_client(CLIENT)
    return queue


def submit(queue: TaskQueue, *numbers: int) -> list[str]:
    ids = [f"{CLIENT}.{number}" for number in numbers]
    assert queue.submit(CLIENT, [(task_id, b"payload of " + task_id.encode()) for task_id in ids])
    return ids


def claim(queue: TaskQueue, worker: str, finished: Finished | None = None) -> list[str]:
    return [claim.task_id for claim in queue.claim(worker, finished)[1]]


def done(task_id: str, outcome: bytes = b"outcome") -> Finished:
    return Finished(task_id, succeeded=True, outcome=outcome)


def taken(queue: TaskQueue) -> list[tuple[str, bytes]]:
    found = []
    arrived = queue.take(CLIENT, [])
    while arrived:
        found += [(delivery.task_id, delivery.outcome) for delivery in arrived]
        arrived = queue.take(CLIENT, arrived)
    return found


def expire(site: Site, worker: str) -> None:
    """End the lease of a worker, as if it had run out a moment ago."""
    seconds, _ = site.connection.time()
    site.connection.zadd(f"dp:{{{site.name}}}:leases", {worker: 1000 * seconds - 1})


def test_a_task_travels_and_leaves_nothing_behind(site: Site, queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    counted, [held] = queue.claim("w")
    assert not counted
    assert held == (task, 0, b"payload of client.1")
    assert queue.is_running(task)
    counted, more = queue.claim("w", done(task))
    assert counted
    assert more == []
    assert not queue.is_running(task)
    assert taken(queue) == [(task, b"outcome")]
    queue.forget_client(CLIENT)
    until(lambda: "signal:client" not in site.stored(), "the last signal to expire")
    assert site.stored() == {"leases", "counts", "done"}


def test_tasks_are_claimed_in_their_order_one_at_a_time(queue: TaskQueue) -> None:
    first, second = submit(queue, 1, 2)
    assert claim(queue, "a") == [first]
    assert claim(queue, "b") == [second]
    assert claim(queue, "a", done(first)) == []


def test_a_submission_that_is_repeated_counts_once(queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    submit(queue, 1)
    assert claim(queue, "a") == [task]
    assert claim(queue, "b") == []
    assert claim(queue, "a", done(task)) == []


def test_a_claim_whose_reply_was_lost_is_told_again(queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    assert claim(queue, "w") == [task]
    assert claim(queue, "w") == [task]


def test_what_a_blocking_move_brought_is_claimed(queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    queue.wait_for_task("w", 1)
    assert not queue.is_running(task)
    assert claim(queue, "w") == [task]


def test_a_finish_whose_reply_was_lost_delivers_once(queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    claim(queue, "w")
    assert queue.claim("w", done(task, b"first"))[0]
    assert not queue.claim("w", done(task, b"second"))[0]
    assert taken(queue) == [(task, b"first")]


def test_results_stay_until_they_are_acknowledged(queue: TaskQueue) -> None:
    for task in submit(queue, 1, 2, 3):
        claim(queue, "w")
        queue.claim("w", done(task))
    first = queue.take(CLIENT, [], most=2)
    assert [delivery.task_id for delivery in first] == ["client.1", "client.2"]
    assert queue.take(CLIENT, [], most=2) == first
    rest = queue.take(CLIENT, first, most=2)
    assert [delivery.task_id for delivery in rest] == ["client.3"] or len(rest) == 2
    # The reply was lost, and the same acknowledgement comes again.
    assert queue.take(CLIENT, first, most=2) == rest
    assert queue.take(CLIENT, rest) == []


def test_big_results_come_in_several_portions(queue: TaskQueue) -> None:
    megabytes = 6
    for task in submit(queue, *range(40)):
        claim(queue, "w")
        queue.claim("w", done(task, bytes(megabytes * 1024 * 1024) if task < "client.2" else b""))
    assert len(queue.take(CLIENT, [])) < 40
    assert [task for task, _ in taken(queue)] == [f"client.{number}" for number in range(40)]


def test_a_dead_workers_tasks_go_to_the_front_in_their_order(site: Site, queue: TaskQueue) -> None:
    submit(queue, 1, 2, 3)
    claim(queue, "dead")
    queue.wait_for_task("dead", 1)
    expire(site, "dead")
    assert queue.reap(b"died") == 2
    assert queue.reap(b"died") == 0
    claims = [queue.claim(worker)[1][0] for worker in ("a", "b", "c")]
    # Only the first was begun, so only it has used up an attempt.
    assert [(claim.task_id, claim.attempts) for claim in claims] == [
        ("client.1", 1),
        ("client.2", 0),
        ("client.3", 0),
    ]


def test_a_live_worker_is_not_reaped(queue: TaskQueue) -> None:
    submit(queue, 1)
    claim(queue, "w")
    assert queue.reap(b"died") == 0


def test_the_outcome_of_an_outdated_attempt_is_dropped(site: Site, queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    claim(queue, "slow")
    expire(site, "slow")
    queue.reap(b"died")
    assert claim(queue, "quick") == [task]
    assert not queue.claim("slow", done(task, b"late"))[0]
    assert queue.claim("quick", done(task, b"in time"))[0]
    assert taken(queue) == [(task, b"in time")]


def test_a_worker_that_was_taken_for_dead_gets_work_again(site: Site, queue: TaskQueue) -> None:
    submit(queue, 1)
    claim(queue, "w")
    expire(site, "w")
    queue.reap(b"died")
    assert claim(queue, "w") == ["client.1"]
    assert queue.reap(b"died") == 0


def test_a_late_move_to_a_dead_worker_is_reaped_too(site: Site, queue: TaskQueue) -> None:
    queue.claim("dead")
    queue.bury("dead", b"died", blame=True)
    submit(queue, 1)
    # A blocking command of the dead worker, which the network delivered late.
    queue.wait_for_task("dead", 1)
    assert claim(queue, "w") == []
    until(lambda: queue.reap(b"died") == 1, "the task to be given back")
    assert claim(queue, "w") == ["client.1"]


def test_a_dead_worker_is_forgotten_in_the_end(site: Site) -> None:
    site.environment[settings.LATE_MOVE] = "0.01"
    queue = site.queue()
    queue.renew([("w", '{"started": 1}')])
    assert len(queue.workers()) == 1
    expire(site, "w")
    until(lambda: queue.reap(b"died") == 0 and "leases" not in site.stored(), "it to be forgotten")
    assert queue.workers() == []
    assert site.counts() == {"died": 1}


def test_a_task_that_kills_its_workers_fails_at_the_limit(queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    for attempt in range(queue.settings.max_attempts):
        [held] = queue.claim(f"w{attempt}")[1]
        assert held.attempts == attempt
        queue.bury(f"w{attempt}", b"died", blame=True)
    assert claim(queue, "w") == []
    assert taken(queue) == [(task, b"died")]


def test_being_stopped_does_not_count_as_an_attempt(queue: TaskQueue) -> None:
    submit(queue, 1)
    for attempt in range(5):
        [held] = queue.claim(f"w{attempt}")[1]
        assert held.attempts == 0
        assert queue.bury(f"w{attempt}", b"died", blame=False) == 1


def test_only_what_nobody_has_begun_can_be_cancelled(queue: TaskQueue) -> None:
    running, moved, waiting = submit(queue, 1, 2, 3)
    claim(queue, "a")
    queue.wait_for_task("b", 1)
    assert queue.cancel([running, moved, waiting, "client.99"]) == [False, True, True, False]
    assert queue.cancel([waiting]) == [False]
    assert claim(queue, "b") == []
    assert queue.numbers()["sizes"] == {"waiting": 0, "running": 1}


def test_very_many_cancelled_tasks_do_not_hide_the_next(queue: TaskQueue) -> None:
    ids = submit(queue, *range(2500))
    assert all(queue.cancel(ids[:-1]))

    def next_one() -> list[str]:
        queue.wait_for_task("w", 1)
        return claim(queue, "w")

    assert until(next_one, "the one that is left") == [ids[-1]]


def test_a_client_that_the_server_does_not_know_cannot_submit(queue: TaskQueue) -> None:
    queue.connection.flushall()
    assert not queue.submit(CLIENT, [("client.1", b"")])
    assert not queue.client_known(CLIENT)
    assert claim(queue, "w") == []


def test_results_for_a_client_that_has_left_are_dropped(site: Site, queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    claim(queue, "w")
    queue.forget_client(CLIENT)
    assert queue.claim("w", done(task))[0]
    assert "results:client" not in site.stored()


def test_results_and_their_client_expire(site: Site, queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    claim(queue, "w")
    queue.claim("w", done(task))
    for name in ("client:client", "results:client", "signal:client"):
        assert site.connection.ttl(f"dp:{{{site.name}}}:{name}") > 0, name


def test_waiting_for_results_ends_when_one_comes(queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    claim(queue, "w")
    queue.claim("w", done(task))
    queue.wait_for_results(CLIENT, 60)


def test_two_queues_on_one_server_do_not_mix(site: Site, queue: TaskQueue) -> None:
    submit(queue, 1)
    other = TaskQueue(site.connection, site.name + "2", site.settings)
    assert other.claim("w") == (False, [])


@pytest.mark.parametrize("seed", range(8))
def test_each_result_once_whatever_happens_in_between(site: Site, seed: int) -> None:
    """Random claims, finishes, repetitions, deaths, expiries and late finishes."""
    site.environment[settings.MAX_ATTEMPTS] = "1000"
    queue = site.queue()
    queue.announce_client(CLIENT)
    chance = random.Random(seed)  # noqa: S311  # no secret
    tasks = submit(queue, *range(30))
    names = [f"w{number}" for number in range(5)]
    held: dict[str, str | None] = dict.fromkeys(names)
    late: list[tuple[str, str]] = []
    received: Counter[str] = Counter()
    arrived = queue.take(CLIENT, [])
    for _ in range(100_000):
        worker = chance.choice(names)
        step = chance.random()
        task = held[worker]
        if step < 0.1 and task is not None:
            late.append((worker, task))
            held[worker] = None
            if chance.random() < 0.5:
                queue.bury(worker, b"died", blame=True)
            else:
                expire(site, worker)
                queue.reap(b"died")
        elif step < 0.2 and late:
            slow, old = late.pop()
            if held[slow] is None:
                queue.claim(slow, done(old))
        elif step < 0.3:
            queue.wait_for_task(worker, 0.001)
        elif step < 0.4:
            arrived = queue.take(CLIENT, arrived if chance.random() < 0.7 else [])
            received.update(delivery.task_id for delivery in set(arrived))
        else:
            finished = None if task is None else done(task)
            if finished is not None and chance.random() < 0.2:
                queue.claim(worker, finished)
            claims = claim(queue, worker, finished)
            held[worker] = claims[0] if claims else None
        if set(received) == set(tasks) and queue.numbers()["counts"].get("done") == len(tasks):
            break
    assert queue.numbers()["counts"]["done"] == len(tasks)
    assert set(received) == set(tasks)
    assert queue.numbers()["sizes"] == {"waiting": 0, "running": 0}
