"""Random interleavings of sessions that hold a job, lose it and come back, on a real server."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from redis_queue_harness import Server, Site
from redis_queue_state_machines import play

from dockerparallel_redis_queue_container import JobInUseError
from dockerparallel_redis_queue_container.jobs import JobBook, JobRequest, Wanted
from dockerparallel_redis_queue_container.records import Task, record_of

JOB = "job"
WORKERS = st.sampled_from(["a", "b"])


class Session:
    """A session as it sees itself: it may have lost the job and not know."""

    def __init__(self, name: str, first: int) -> None:
        self.name = name
        self.numbers = itertools.count(first)
        self.submissions = itertools.count(1)


class Job(RuleBasedStateMachine):
    """Sessions that submit, come late, take over and let go, and workers that run or die.

    At the end, who attaches has a result for each number that was submitted and not cancelled.
    """

    server: Server
    folder: Any

    @initialize()
    def begin(self) -> None:
        self.site = Site(self.server, self.folder)
        self.queue = self.site.queue()
        self.book = JobBook(self.queue)
        self.names = itertools.count()
        self.sent: set[int] = set()
        self.cancelled: set[int] = set()
        self.held: dict[str, list[str]] = {"a": [], "b": []}
        self.sessions: list[Session] = []
        self.holder: Session | None = None
        self.attach("create", again=False)

    def attach(self, wanted: Wanted, *, again: bool) -> None:
        name = f"session{next(self.names)}"
        if again:
            # The reply was lost.
            self.book.attach(JobRequest(JOB, wanted), name)
        first = self.book.attach(JobRequest(JOB, wanted), name)
        assert first == len(self.sent)
        self.holder = Session(name, first)
        self.sessions.append(self.holder)

    @rule(again=st.booleans())
    def take_over(self, again: bool) -> None:
        self.attach("take over", again=again)

    @rule()
    def attach_where_it_is_free(self) -> None:
        if self.holder is None:
            self.attach("attach", again=False)
        else:
            with pytest.raises(JobInUseError):
                self.attach("attach", again=False)

    @rule(data=st.data(), count=st.integers(1, 4), again=st.booleans())
    def submit(self, data: st.DataObject, count: int, again: bool) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        numbers = list(itertools.islice(session.numbers, count))
        tasks = [Task(f"@{JOB}.{number}", b"payload") for number in numbers]
        number = next(session.submissions)
        for _ in range(1 + again):
            taken = self.queue.submit(session.name, number, tasks)
            assert taken == (session is self.holder)
        if session is self.holder:
            assert not self.sent.intersection(numbers)
            self.sent.update(numbers)

    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions))
        self.book.detach(JOB, session.name)
        assert not self.book.hold(JOB, session.name)
        if session is self.holder:
            self.holder = None

    @rule()
    def hold(self) -> None:
        for session in self.sessions:
            assert self.book.hold(JOB, session.name) == (session is self.holder)

    @rule(worker=WORKERS, finish=st.integers(0, 3), most=st.integers(0, 4))
    def claim(self, worker: str, finish: int, most: int) -> None:
        ours = self.held[worker]
        finished, rest = ours[:finish], ours[finish:]
        records = [record_of(task_id, b"R" + task_id.encode()) for task_id in finished]
        answer = self.queue.claim(worker, records, most=most, holding=len(rest))
        claimed = [claim.task_id for claim in answer.tasks]
        self.held[worker] = claimed if answer.whole else rest + claimed

    @rule(worker=WORKERS)
    def die(self, worker: str) -> None:
        self.queue.bury(worker, b"Edied", blame=False)
        self.held[worker] = []

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.sent:
            number = data.draw(st.sampled_from(sorted(self.sent)))
            if self.queue.cancel([f"@{JOB}.{number}"]) == [True]:
                self.cancelled.add(number)

    def results(self) -> list[str]:
        found: list[str] = []
        while arrived := self.queue.take(f"@{JOB}", most=3, skip=len(found)):
            found += [delivery.task_id for delivery in arrived]
        return found

    def teardown(self) -> None:
        """Let one worker do what is left, and attach."""
        if not hasattr(self, "site"):
            return
        self.die("b")
        wanted = {f"@{JOB}.{number}" for number in self.sent - self.cancelled}
        while self.queue.numbers().sizes != {"waiting": 0, "running": 0}:
            self.claim("a", 10, 4)
        self.attach("take over", again=False)
        assert self.book.numbers(JOB) == sorted(self.sent - self.cancelled)
        assert sorted(self.results()) == sorted(wanted)
        [job] = self.book.jobs()
        assert (job["tasks"], job["done"]) == (len(wanted), len(wanted))
        self.book.remove(JOB, force=True)
        assert not [name for name in self.site.stored() if JOB in name]
        self.queue.close()
        self.site.close()


@pytest.mark.timeout(300)
def test_who_attaches_at_last_has_each_result_once(server: Server, tmp_path: Any) -> None:
    machine = type("JobOnServer", (Job,), {"server": server, "folder": tmp_path})
    play(machine, max_examples=150, stateful_step_count=40)
