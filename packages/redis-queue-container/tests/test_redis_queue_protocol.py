"""The steps of the queue on a real server, without workers: what may happen in between."""

from __future__ import annotations

from typing import Any

import pytest
from redis_queue_harness import Site, until

from dockerparallel_redis_queue_container import settings
from dockerparallel_redis_queue_container.records import BlobsMissingError, Task, record_of
from dockerparallel_redis_queue_container.task_queue import TaskQueue

CLIENT = "client"


@pytest.fixture
def queue(site: Site) -> TaskQueue:
    queue = site.queue()
    queue.announce_client(CLIENT)
    numbers.clear()
    return queue


class Numbers:
    """Counts the submissions of a client, which leave out none."""

    last = 0

    def __next__(self) -> int:
        self.last += 1
        return self.last

    def clear(self) -> None:
        self.last = 0


numbers = Numbers()


def submit(queue: TaskQueue, *tasks: int, number: int | None = None) -> list[str]:
    ids = [f"{CLIENT}.{task}" for task in tasks]
    sent = [Task(task_id, b"payload of " + task_id.encode()) for task_id in ids]
    assert queue.submit(CLIENT, next(numbers) if number is None else number, sent)
    return ids


def claim(queue: TaskQueue, worker: str, *finished: bytes, **options: Any) -> list[str]:
    return [claim.task_id for claim in queue.claim(worker, finished, **options).tasks]


def counted(queue: TaskQueue, worker: str, *finished: bytes) -> bool:
    """Hand in, and tell whether all of it was still the worker's own."""
    return not queue.claim(worker, finished, most=0).dropped


def done(task_id: str, outcome: bytes = b"Routcome") -> bytes:
    return record_of(task_id, outcome)


def taken(queue: TaskQueue) -> list[tuple[str, bytes]]:
    found = []
    arrived = queue.take(CLIENT, [])
    while arrived:
        found += [(delivery.task_id, bytes(delivery.outcome)) for delivery in arrived]
        arrived = queue.take(CLIENT, arrived)
    return found


def expire(site: Site, worker: str) -> None:
    """End the lease of a worker, as if it had run out a moment ago."""
    seconds, _ = site.connection.time()
    site.connection.zadd(f"dp:{{{site.name}}}:leases", {worker: 1000 * seconds - 1})


def test_a_task_travels_and_leaves_nothing_behind(site: Site, queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    [held] = queue.claim("w").tasks
    assert held == (task, 0, b"payload of client.1")
    assert queue.is_running(task)
    answer = queue.claim("w", [done(task)])
    assert answer == ([], False, False, [])
    assert not queue.is_running(task)
    assert taken(queue) == [(task, b"Routcome")]
    queue.forget_client(CLIENT)
    until(lambda: "signal:client" not in site.stored(), "the last signal to expire")
    assert site.stored() == {"leases", "counts", "done", "idle"}


def test_outcomes_are_counted_as_what_they_are(site: Site, queue: TaskQueue) -> None:
    first, second = submit(queue, 1, 2)
    claim(queue, "w")
    claim(queue, "w", holding=1)
    assert counted(queue, "w", done(first), done(second, b"Eexception"))
    assert site.counts() == {"done": 1, "failed": 1}


def test_tasks_are_claimed_in_their_order(queue: TaskQueue) -> None:
    ids = submit(queue, *range(7))
    assert claim(queue, "a") == ids[:1]
    assert claim(queue, "b", most=2) == ids[1:3]
    assert claim(queue, "a", done(ids[0]), most=100) == ids[3:5]
    assert claim(queue, "b", done(ids[1]), most=1, holding=1) == ids[5:6]


def test_a_claim_leaves_others_their_share(queue: TaskQueue) -> None:
    queue.renew((f"w{number}", '{"started": 1}') for number in range(4))
    submit(queue, *range(80))
    assert len(claim(queue, "w0", most=100)) == 10
    assert len(claim(queue, "w1", most=3)) == 3
    assert len(claim(queue, "w2", most=100)) == 9


def test_a_submission_that_is_repeated_counts_once(queue: TaskQueue) -> None:
    [task] = submit(queue, 1, number=1)
    submit(queue, 1, number=1)
    assert claim(queue, "a") == [task]
    assert claim(queue, "b") == []
    assert claim(queue, "a", done(task)) == []
    submit(queue, 1, number=1)
    assert claim(queue, "a") == []


def test_a_claim_whose_reply_was_lost_is_told_again(queue: TaskQueue) -> None:
    ids = submit(queue, *range(6))
    assert claim(queue, "w", most=3) == ids[:3]
    answer = queue.claim("w", most=3, holding=0)
    assert answer.whole
    assert [held.task_id for held in answer.tasks] == ids[:3]
    answer = queue.claim("w", [done(ids[0])], most=1, holding=2)
    assert not answer.whole
    assert [held.task_id for held in answer.tasks] == ids[3:4]


def test_an_idle_worker_is_given_a_task_at_once(queue: TaskQueue) -> None:
    assert claim(queue, "w") == []
    [task, rest] = submit(queue, 1, 2)
    assert queue.is_running(task)
    assert not queue.is_running(rest)
    assert queue.wait_for_task("w", 60) == (task, 0, b"payload of client.1")
    assert claim(queue, "w", done(task)) == [rest]


def test_a_gift_whose_message_was_lost_is_told_by_the_next_claim(queue: TaskQueue) -> None:
    claim(queue, "w")
    [task] = submit(queue, 1)
    assert claim(queue, "w") == [task]
    # The message is outdated, and must not be taken for another task later.
    assert queue.wait_for_task("w", 0.01) is None


def test_a_long_gift_comes_with_the_next_claim(queue: TaskQueue) -> None:
    claim(queue, "w")
    payload = bytes(100_000)
    assert queue.submit(CLIENT, next(numbers), [Task("client.1", payload)])
    assert queue.wait_for_task("w", 60) is None
    assert queue.claim("w").tasks == [("client.1", 0, payload)]


def test_nothing_is_given_to_a_worker_whose_lease_is_over(site: Site, queue: TaskQueue) -> None:
    claim(queue, "dead")
    expire(site, "dead")
    [task] = submit(queue, 1)
    assert not queue.is_running(task)
    assert claim(queue, "w") == [task]


def test_each_idle_worker_is_given_one(queue: TaskQueue) -> None:
    for worker in ("a", "b", "c"):
        claim(queue, worker)
    submit(queue, 1, 2)
    given = [queue.wait_for_task(worker, 0.01) for worker in ("a", "b", "c")]
    assert sorted(gift.task_id for gift in given if gift) == ["client.1", "client.2"]


def idle_workers(queue: TaskQueue, count: int, pace: float) -> list[str]:
    """Have workers wait for tasks, where a task took ``pace`` seconds."""
    idle = [f"idle{number:02}" for number in range(count)]
    queue.renew((worker, "{}") for worker in idle)
    (ended,) = submit(queue, 999)
    claim(queue, "busy")
    queue.claim("busy", [done(ended)], most=0, pace=pace)
    for worker in idle:
        queue.claim(worker)
    return idle


def test_short_tasks_wake_no_more_workers_than_find_work(site: Site, queue: TaskQueue) -> None:
    idle = idle_workers(queue, 20, 100e-6)
    # Twenty of them are 2 ms of work.
    ids = submit(queue, *range(200))
    held = [site.connection.llen(f"dp:{{{site.name}}}:claimed:{worker}") for worker in idle]
    assert sorted(held) == [0] * 10 + [1] * 10
    # The one that was heard of last is at work first, and may take what need wake no other.
    assert queue.wait_for_task("idle19", 60).task_id == ids[0]  # type: ignore[union-attr]
    assert len(claim(queue, "idle19", most=100, holding=1, pace=100e-6)) == 20
    assert len(claim(queue, "idle18", most=100, holding=1, pace=10e-6)) == 170 // 8
    # One that has just ended such a task knows more.
    ended = queue.wait_for_task("idle17", 60)
    assert ended is not None
    taken = claim(queue, "idle17", done(ended.task_id), most=100, pace=10e-6)
    assert len(taken) == (170 - 170 // 8) // 2


def test_few_tasks_wake_a_worker_each_however_short_they_were(site: Site, queue: TaskQueue) -> None:
    idle = idle_workers(queue, 20, 1e-6)
    # What the mean was made of was done a while ago: these may be of another kind.
    site.connection.hincrby(f"dp:{{{site.name}}}:counts", "pace_at", -1000)
    # What a worker that has ended nothing still believes is no news.
    queue.claim("idle19", pace=1e-6)
    submit(queue, *range(6))
    held = [site.connection.llen(f"dp:{{{site.name}}}:claimed:{worker}") for worker in idle]
    assert sorted(held) == [0] * 14 + [1] * 6


def test_what_takes_longer_than_it_did_wakes_all(site: Site, queue: TaskQueue) -> None:
    idle = idle_workers(queue, 20, 1e-6)
    # However slow the machine is: the last claim was just now.
    site.connection.hincrby(f"dp:{{{site.name}}}:counts", "pace_at", 60_000)
    submit(queue, *range(40))
    assert queue.wait_for_task("idle19", 60) is not None
    held = claim(queue, "idle19", most=100, holding=1, pace=1e-6)
    assert len(held) == 4
    keys = [f"dp:{{{site.name}}}:inbox:{worker}" for worker in idle]
    assert sum(map(site.connection.llen, keys)) == 0
    assert queue.give_back("idle19", held, pace=0.02) == 4
    assert sum(map(site.connection.llen, keys)) == 19


def test_nothing_is_given_to_an_idle_worker_that_is_not_heard_of_any_more(
    site: Site, queue: TaskQueue
) -> None:
    claim(queue, "dead")
    site.connection.zincrby(f"dp:{{{site.name}}}:idle", -60_000, "dead")
    claim(queue, "live")
    first, second = submit(queue, 1, 2)
    gift = queue.wait_for_task("live", 60)
    assert gift is not None
    assert gift.task_id == first
    assert not queue.is_running(second)
    assert claim(queue, "live", done(first)) == [second]


def test_what_a_worker_gives_back_goes_to_the_front(queue: TaskQueue) -> None:
    ids = submit(queue, *range(6))
    assert claim(queue, "a", most=3) == ids[:3]
    assert queue.give_back("a", ids[1:3]) == 2
    assert queue.give_back("a", ids[1:3]) == 0
    assert not queue.is_running(ids[1])
    assert queue.cancel(ids[1:2]) == [True]
    assert claim(queue, "b", most=2) == ids[2:4]
    assert claim(queue, "a", done(ids[0]), most=0) == []


def test_what_is_given_back_wakes_an_idle_worker(queue: TaskQueue) -> None:
    ids = submit(queue, 1, 2)
    claim(queue, "a", most=1)
    claim(queue, "a", most=1, holding=1)
    claim(queue, "b")
    queue.give_back("a", ids[1:])
    gift = queue.wait_for_task("b", 60)
    assert gift is not None
    assert gift.task_id == ids[1]


def test_an_idle_worker_takes_over_what_a_silent_one_has_not_begun(queue: TaskQueue) -> None:
    ids = submit(queue, *range(3))
    claim(queue, "silent", most=1)
    claim(queue, "silent", most=1, holding=1)
    claim(queue, "silent", most=1, holding=2)
    assert queue.claim("b") == ([], False, True, [])
    # What it runs stays its own.
    stolen = until(lambda: claim(queue, "b"), "the silence to count")
    # The silent one may be beginning it.
    assert queue.cancel(ids[2:]) == [False]
    assert stolen == ids[1:2]
    assert claim(queue, "c") == ids[2:]
    answer = queue.claim("silent", [done(ids[0])], most=0, holding=2)
    assert answer == ([], True, False, [])
    assert not counted(queue, "silent", done(ids[1], b"Rlate"))
    assert counted(queue, "b", done(ids[1]))


def test_a_finish_whose_reply_was_lost_delivers_once(queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    claim(queue, "w")
    assert counted(queue, "w", done(task, b"Rfirst"))
    assert not counted(queue, "w", done(task, b"Rsecond"))
    assert taken(queue) == [(task, b"Rfirst")]


def test_of_several_finishes_only_those_of_others_are_dropped(queue: TaskQueue) -> None:
    first, second, third = submit(queue, 1, 2, 3)
    claim(queue, "w", most=1)
    claim(queue, "w", most=1, holding=1)
    claim(queue, "other")
    answer = queue.claim("w", [done(third), done(second), done(first)], most=0)
    assert answer.dropped == [third]
    assert taken(queue) == [(second, b"Routcome"), (first, b"Routcome")]


def test_results_stay_until_they_are_acknowledged(queue: TaskQueue) -> None:
    for task in submit(queue, 1, 2, 3):
        claim(queue, "w")
        counted(queue, "w", done(task))
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
        big = bytes(megabytes * 1024 * 1024) if task < "client.2" else b""
        counted(queue, "w", done(task, b"R" + big))
    assert len(queue.take(CLIENT, [])) < 40
    assert [task for task, _ in taken(queue)] == [f"client.{number}" for number in range(40)]


@pytest.mark.parametrize("ran", ["client.2", "-", None])
def test_a_dead_workers_tasks_go_to_the_front_in_their_order(
    queue: TaskQueue, ran: str | None
) -> None:
    ids = submit(queue, *range(1, 7))
    assert claim(queue, "dead", most=3) == ids[:3]
    assert queue.bury("dead", b"Edied", blame=True, ran=ran) == 3
    assert queue.reap(b"Edied") == 0
    claims = [queue.claim(worker).tasks[0] for worker in ("a", "b", "c", "d")]
    assert [held.task_id for held in claims] == ids[:4]
    # Only the one that ran has used up an attempt; where nobody knows, it was the first.
    blamed = {"client.2": 1, "-": None, None: 0}[ran]
    assert [held.attempts for held in claims] == [int(place == blamed) for place in range(4)]


def test_tasks_of_a_lease_that_is_over_are_reaped_once(site: Site, queue: TaskQueue) -> None:
    submit(queue, 1, 2, 3, 4)
    claim(queue, "dead", most=2)
    expire(site, "dead")
    assert queue.reap(b"Edied") == 2
    assert queue.reap(b"Edied") == 0


def test_a_task_that_a_worker_has_died_over_travels_alone(queue: TaskQueue) -> None:
    ids = submit(queue, *range(8))
    claim(queue, "dead", most=3)
    queue.bury("dead", b"Edied", blame=True, ran=ids[1])
    assert claim(queue, "a", most=8) == ids[:1]
    # Not behind another one.
    assert claim(queue, "a", most=8, holding=1) == []
    # And nothing behind it.
    assert claim(queue, "b", most=8) == ids[1:2]
    assert claim(queue, "c", most=8) == ids[2:5]


def test_what_a_death_gives_back_wakes_an_idle_worker(queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    claim(queue, "dead")
    claim(queue, "idle")
    queue.bury("dead", b"Edied", blame=True)
    assert queue.wait_for_task("idle", 60) == (task, 1, b"payload of client.1")


def test_a_live_worker_is_not_reaped(queue: TaskQueue) -> None:
    submit(queue, 1)
    claim(queue, "w")
    assert queue.reap(b"Edied") == 0


def test_the_outcome_of_an_outdated_attempt_is_dropped(site: Site, queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    claim(queue, "slow")
    expire(site, "slow")
    queue.reap(b"Edied")
    assert claim(queue, "quick") == [task]
    assert queue.claim("slow", [done(task, b"Rlate")]).dropped == [task]
    assert counted(queue, "quick", done(task, b"Rin time"))
    assert taken(queue) == [(task, b"Rin time")]


def test_a_worker_that_was_taken_for_dead_gets_work_again(site: Site, queue: TaskQueue) -> None:
    submit(queue, 1)
    claim(queue, "w")
    expire(site, "w")
    queue.reap(b"Edied")
    assert claim(queue, "w") == ["client.1"]
    assert queue.reap(b"Edied") == 0


def test_a_late_claim_of_a_dead_worker_is_reaped_too(site: Site, queue: TaskQueue) -> None:
    queue.claim("dead")
    queue.bury("dead", b"Edied", blame=True)
    submit(queue, 1)
    # A command of the dead worker, which the network delivered late.
    assert claim(queue, "dead") == ["client.1"]
    assert claim(queue, "w") == []
    expire(site, "dead")
    assert queue.reap(b"Edied") == 1
    assert claim(queue, "w") == ["client.1"]


def test_a_dead_worker_is_forgotten_in_the_end(site: Site) -> None:
    site.environment[settings.LATE_MOVE] = "0.01"
    queue = site.queue()
    queue.renew([("w", '{"started": 1}')])
    assert len(queue.workers()) == 1
    expire(site, "w")
    until(lambda: queue.reap(b"Edied") == 0 and "leases" not in site.stored(), "it to be forgotten")
    assert queue.workers() == []
    assert site.counts() == {"died": 1}


def test_a_task_that_kills_its_workers_fails_at_the_limit(queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    for attempt in range(queue.settings.max_attempts):
        [held] = queue.claim(f"w{attempt}").tasks
        assert held.attempts == attempt
        queue.bury(f"w{attempt}", b"Edied", blame=True)
    assert claim(queue, "w") == []
    assert taken(queue) == [(task, b"Edied")]


def test_being_stopped_does_not_count_as_an_attempt(queue: TaskQueue) -> None:
    submit(queue, 1)
    for attempt in range(5):
        [held] = queue.claim(f"w{attempt}").tasks
        assert held.attempts == 0
        assert queue.bury(f"w{attempt}", b"Edied", blame=False) == 1


def test_only_what_nobody_has_claimed_can_be_cancelled(queue: TaskQueue) -> None:
    running, waiting = submit(queue, 1, 2)
    claim(queue, "a")
    assert queue.cancel([running, waiting, "client.99"]) == [False, True, False]
    assert queue.cancel([waiting]) == [False]
    assert claim(queue, "b") == []
    assert queue.numbers().sizes == {"waiting": 0, "running": 1}


def test_very_many_cancelled_tasks_do_not_hide_the_next(queue: TaskQueue) -> None:
    ids = submit(queue, *range(2500))
    assert all(queue.cancel(ids[:-1]))
    assert claim(queue, "w") == [ids[-1]]


def test_a_client_that_the_server_does_not_know_cannot_submit(queue: TaskQueue) -> None:
    queue.connection.flushall()
    assert not queue.submit(CLIENT, next(numbers), [Task("client.1", b"x")])
    assert not queue.client_known(CLIENT)
    assert claim(queue, "w") == []


def test_results_for_a_client_that_has_left_are_dropped(site: Site, queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    claim(queue, "w")
    queue.forget_client(CLIENT)
    assert counted(queue, "w", done(task))
    assert "results:client" not in site.stored()


def test_results_and_their_client_expire(site: Site, queue: TaskQueue) -> None:
    [task] = submit(queue, 1)
    claim(queue, "w")
    counted(queue, "w", done(task))
    for name in ("client:client", "results:client", "signal:client"):
        assert site.connection.ttl(f"dp:{{{site.name}}}:{name}") > 0, name


def test_a_result_that_comes_alone_comes_with_the_signal(queue: TaskQueue) -> None:
    first, second = submit(queue, 1, 2)
    claim(queue, "w")
    counted(queue, "w", done(first))
    arrived = queue.wait_for_results(CLIENT, 60)
    assert arrived == [(first, b"Routcome")]
    claim(queue, "w")
    counted(queue, "w", done(second))
    # It was not acknowledged: so the next signal comes without.
    assert queue.wait_for_results(CLIENT, 60) == []
    assert [delivery.task_id for delivery in queue.take(CLIENT, arrived)] == [second]


def test_an_outdated_signal_acknowledges_nothing(queue: TaskQueue) -> None:
    first, second = submit(queue, 1, 2)
    claim(queue, "w")
    counted(queue, "w", done(first))
    assert queue.take(CLIENT, queue.take(CLIENT, [])) == []
    claim(queue, "w")
    counted(queue, "w", done(second))
    outdated = queue.wait_for_results(CLIENT, 60)
    assert [delivery.task_id for delivery in outdated] == [first]
    assert [delivery.task_id for delivery in queue.take(CLIENT, outdated)] == [second]


def put(site: Site, queue: TaskQueue, name: str) -> None:
    site.connection.set(queue.blob_key(name), b"content", ex=60)


def test_a_blob_stays_as_long_as_a_task_needs_it(site: Site, queue: TaskQueue) -> None:
    put(site, queue, "x")
    needy = [Task(f"client.{number}", b"payload", "x") for number in range(3)]
    assert queue.submit(CLIENT, next(numbers), needy)
    assert site.connection.ttl(queue.blob_key("x")) == -1
    assert claim(queue, "w") == ["client.0"]
    assert counted(queue, "w", done("client.0"))
    assert queue.cancel(["client.1"]) == [True]
    assert site.connection.exists(queue.blob_key("x"))
    for attempt in range(queue.settings.max_attempts):
        claim(queue, f"w{attempt}")
        queue.bury(f"w{attempt}", b"Edied", blame=True)
    assert not [name for name in site.stored() if name.startswith(("needs", "uses"))]
    # They have shared it, so others may need it at once.
    assert 0 < site.connection.ttl(queue.blob_key("x")) <= 10
    assert queue.submit(CLIENT, next(numbers), [Task("client.3", b"payload", "x")])
    assert site.connection.ttl(queue.blob_key("x")) == -1


def test_a_blob_that_one_task_needed_is_dropped_at_once(site: Site, queue: TaskQueue) -> None:
    for number, stays in ((1, False), (2, True)):
        put(site, queue, "x")
        assert queue.submit(CLIENT, next(numbers), [Task(f"client.{number}", b"payload", "x")])
        assert queue.cancel([f"client.{number}"]) == [True]
        # Who needs it again is believed to need it once more.
        assert site.connection.exists(queue.blob_key("x")) == stays


def test_a_task_whose_blob_is_not_there_is_not_taken(site: Site, queue: TaskQueue) -> None:
    put(site, queue, "here")
    tasks = [Task("client.1", b"payload", "here"), Task("client.2", b"payload", "here gone")]
    number = next(numbers)
    with pytest.raises(BlobsMissingError) as caught:
        queue.submit(CLIENT, number, tasks)
    assert caught.value.args == ("gone",)
    assert claim(queue, "w") == []
    put(site, queue, "gone")
    assert queue.submit(CLIENT, number, tasks)


def test_two_queues_on_one_server_do_not_mix(site: Site, queue: TaskQueue) -> None:
    submit(queue, 1)
    other = TaskQueue(site.connection, site.name + "2", site.settings)
    assert claim(other, "w") == []
