"""Random interleavings of all that may happen to tasks, on a real server."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)
from redis_queue_harness import Server, Site
from redis_queue_state_machines import play

from dockerparallel_redis_queue_container import settings as queue_settings
from dockerparallel_redis_queue_container.large_outcomes import (
    LargeOutcome,
    read_inline,
    read_stub,
)
from dockerparallel_redis_queue_container.records import Claimed, Delivery, Task, record_of
from dockerparallel_redis_queue_container.task_queue import TaskQueue

CLIENT, VISITOR = "client", "visitor"
WORKERS = st.sampled_from(["a", "b", "c"])


class Queue(RuleBasedStateMachine):
    """Workers that lose replies, die and come late, and a client that must not notice.

    Another client comes and goes; once it has gone, none of its tasks is claimed.

    ``held`` is what each worker believes to hold, as it would after each reply that reached it.
    """

    server: Server
    folder: Any
    number = itertools.count()

    @initialize()
    def begin(self) -> None:
        self.site = Site(self.server, self.folder)
        self.site.environment[queue_settings.MAX_ATTEMPTS] = "1000000"
        self.queue: TaskQueue = self.site.queue()
        self.store = self.site.store()
        self.queue.announce_client(CLIENT)
        self.full = False
        self.last: tuple[int, list[Task]] = (0, [])
        self.sent: set[str] = set()
        self.cancelled: set[str] = set()
        self.begun: set[str] = set()
        self.held: dict[str, list[str]] = {"a": [], "b": [], "c": []}
        self.lives = dict.fromkeys(self.held, 0)
        self.late: list[tuple[str, str]] = []
        self.visits = self.visitors_done = 0
        self.visiting = False
        self.arrived: list[Delivery] = []
        self.results: list[str] = []
        self.submit(5, again=False)

    @rule(count=st.integers(1, 6), again=st.booleans())
    def submit(self, count: int, again: bool) -> None:
        tasks = [Task(f"{CLIENT}.{next(Queue.number)}", b"payload") for _ in range(count)]
        if self.full:
            # Nothing was done, so the number is free.
            with pytest.raises(redis.OutOfMemoryError):
                self.queue.submit(CLIENT, self.last[0] + 1, tasks)
            return
        self.last = (self.last[0] + 1, tasks)
        for _ in range(1 + again):
            assert self.queue.submit(CLIENT, *self.last)
        self.sent.update(task.task_id for task in tasks)

    @rule(count=st.integers(1, 6))
    def visit(self, count: int) -> None:
        if self.full:
            return
        if not self.visiting:
            self.queue.announce_client(VISITOR)
            self.visits, self.visiting = 0, True
        self.visits += 1
        tasks = [Task(f"{VISITOR}.{next(Queue.number)}", b"payload") for _ in range(count)]
        assert self.queue.submit(VISITOR, self.visits, tasks)

    @rule()
    def go(self) -> None:
        self.queue.forget_client(VISITOR)
        self.visiting = False

    @rule()
    def submit_what_was_submitted(self) -> None:
        if self.last[0]:
            assert self.queue.submit(CLIENT, *self.last)

    @rule(
        worker=WORKERS,
        finish=st.integers(0, 3),
        most=st.integers(0, 4),
        lost=st.sampled_from([False, True]),
    )
    def claim(self, worker: str, finish: int, most: int, lost: bool) -> None:
        ours = self.held[worker]
        finished, rest = ours[:finish], ours[finish:]
        if lost:
            # The server has done it, and the worker offers the same again.
            self.hand_in(self.name(worker), finished, most, len(rest), repeated=True)
        answer = self.hand_in(self.name(worker), finished, most, len(rest), repeated=lost)
        claimed = [claim.task_id for claim in answer.tasks]
        if not answer.whole and not self.visiting:
            assert not [task_id for task_id in claimed if task_id.startswith(VISITOR)]
        self.held[worker] = claimed if answer.whole else rest + claimed

    def name(self, worker: str) -> str:
        """Return the id of a worker, which no other had before it."""
        return f"{worker}{self.lives[worker]}"

    def hand_in(
        self, worker: str, finished: list[str], most: int, holding: int, *, repeated: bool = False
    ) -> Claimed:
        records = [record_of(task_id, self.outcome(worker, task_id)) for task_id in finished]
        self.begun.update(finished)
        answer = self.queue.claim(worker, records, most=most, holding=holding)
        counted = set(finished).difference(answer.dropped)
        for task_id in answer.dropped:
            # As a worker does, but where it repeats a request.
            if not repeated:
                self.store.drop(task_id, worker)
        self.visitors_done += sum(task_id.startswith(VISITOR) for task_id in counted)
        return answer

    def outcome(self, worker: str, task_id: str) -> bytes:
        """Return a result, and store that of each third task apart."""
        text = task_id.encode()
        if int(task_id.rpartition(".")[2]) % 3:
            return b"R" + text
        return self.store.put(task_id, worker, LargeOutcome([("w", text), ("f", b"data")]))

    @rule(worker=WORKERS)
    def wait(self, worker: str) -> None:
        # Only where it would not block.
        if not self.held[worker] and self.has(f"inbox:{self.name(worker)}"):
            gift = self.queue.wait_for_task(self.name(worker), 0.001)
            if gift is not None:
                self.held[worker] = [gift.task_id]

    @rule(worker=WORKERS, keep=st.integers(1, 3))
    def give_back(self, worker: str, keep: int) -> None:
        ours = self.held[worker]
        self.held[worker], given = ours[:keep], ours[keep:]
        if given:
            self.queue.give_back(self.name(worker), given)

    @rule(worker=WORKERS, known=st.booleans(), blame=st.booleans())
    def die(self, worker: str, known: bool, blame: bool) -> None:
        ours = self.held[worker]
        self.late += [(self.name(worker), task_id) for task_id in ours]
        ran = (ours[0] if ours else "-") if known else None
        self.queue.bury(self.name(worker), b"Edied", blame=blame, ran=ran)
        self.held[worker] = []
        self.lives[worker] += 1

    @rule(full=st.booleans())
    def change_memory(self, full: bool) -> None:
        """Make the memory of the server too small for anything, or large enough."""
        self.full = full
        self.site.connection.config_set("maxmemory", int(full))

    @rule()
    def be_away(self) -> None:
        """Be a server that nobody reached for longer than all leases."""
        seconds, _ = self.site.connection.time()
        prefix = f"dp:{{{self.site.name}}}:"
        if not self.has("reaped"):
            return
        self.site.connection.config_set("maxmemory", 0)
        self.site.connection.set(prefix + "reaped", 1000 * seconds - 3_600_000)
        for worker in map(self.name, self.held):
            self.site.connection.zadd(prefix + "leases", {worker: 1000 * seconds - 1}, xx=True)
        self.change_memory(self.full)
        assert self.queue.reap(b"Edied") == 0

    @rule(worker=WORKERS)
    def be_taken_for_dead(self, worker: str) -> None:
        """End its lease; it does not know, and goes on with what it holds."""
        seconds, _ = self.site.connection.time()
        leases = f"dp:{{{self.site.name}}}:leases"
        self.site.connection.config_set("maxmemory", 0)
        self.site.connection.zadd(leases, {self.name(worker): 1000 * seconds - 1}, xx=True)
        self.change_memory(self.full)
        self.queue.reap(b"Edied")

    @rule()
    def come_late(self) -> None:
        """Hand in the outcome of an attempt whose worker was buried."""
        if self.late:
            worker, task_id = self.late.pop()
            self.hand_in(worker, [task_id], 0, 0)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.sent:
            task_id = data.draw(st.sampled_from(sorted(self.sent)))
            [done] = self.queue.cancel([task_id])
            if done:
                assert task_id not in self.results
                self.cancelled.add(task_id)

    @rule(most=st.integers(1, 4), lost=st.booleans(), signal=st.booleans())
    def take(self, most: int, lost: bool, signal: bool) -> None:
        if signal and self.has(f"signal:{CLIENT}"):
            self.receive(self.queue.wait_for_results(CLIENT, 0.001))
        if lost:
            self.queue.take(CLIENT, self.arrived, most)
        self.receive(self.queue.take(CLIENT, self.arrived, most))

    def has(self, name: str) -> bool:
        return bool(self.site.connection.exists(f"dp:{{{self.site.name}}}:{name}"))

    def receive(self, arrived: list[Delivery]) -> None:
        self.arrived = arrived
        for delivery in arrived:
            task_id = delivery.task_id
            if task_id not in self.results:
                assert self.text_of(delivery) == task_id.encode()
            if delivery.is_stored:
                self.store.drop(task_id, read_stub(delivery.outcome).worker)
            # As the client does: a future that is done takes no second result.
            if task_id not in self.results:
                self.results.append(task_id)

    def text_of(self, delivery: Delivery) -> bytes:
        outcome = bytes(delivery.outcome)
        if delivery.is_stored:
            found = self.store.get(delivery.task_id, outcome)
            assert found is not None
            return bytes(found.parts[0][1])
        if outcome[:1] == b"P":
            return bytes(read_inline(outcome).parts[0][1])
        assert outcome[:1] == b"R"
        return outcome[1:]

    @invariant()
    def a_cancelled_task_has_no_result(self) -> None:
        if hasattr(self, "site"):
            assert not self.cancelled.intersection(self.results)

    def teardown(self) -> None:
        """Let one worker do what is left: then each task has its result, and nothing is left."""
        if not hasattr(self, "site"):
            return
        self.change_memory(full=False)
        self.go()
        for worker in ("b", "c"):
            self.queue.bury(self.name(worker), b"Edied", blame=False)
        while True:
            self.claim("a", 10, 4, lost=False)
            before = len(self.results)
            self.take(100, lost=False, signal=False)
            if not self.held["a"] and len(self.results) == before and not self.arrived:
                break
        assert set(self.results) == self.sent - self.cancelled
        assert self.queue.numbers().sizes == {"waiting": 0, "running": 0}
        done = self.site.counts().get("done", 0)
        assert done - self.visitors_done == len(self.results)
        left = self.site.stored() - {"leases", "counts", "done", "client:client", "signal:client"}
        # Who cannot know whether a request counted leaves what is stored until the client goes.
        assert left <= {"idle", "reaped", f"signal:{VISITOR}", f"parts:{CLIENT}"}
        self.queue.forget_client(CLIENT)
        assert f"parts:{CLIENT}" not in self.site.stored()
        self.store.close()
        self.queue.close()
        self.site.close()


@pytest.mark.timeout(300)
def test_each_result_comes_once_whatever_happens_in_between(server: Server, tmp_path: Any) -> None:
    machine = type("QueueOnServer", (Queue,), {"server": server, "folder": tmp_path})
    play(machine, max_examples=400, stateful_step_count=50)
