"""Workers that die all the time, stand still, or keep the interpreter's lock."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress

import pytest
from redis_queue_fault_tasks import hold_the_gil, work
from redis_queue_faults import Tally
from redis_queue_harness import Program, Site, until

from dockerparallel_redis_queue_container import settings

pytestmark = pytest.mark.faults

SHORT_LEASE = {settings.LEASE: "2", settings.HEARTBEAT: "0.2"}
TASKS = 5000


@pytest.fixture
def patient(site: Site) -> Site:
    """Let any number of workers die over a task: here they are killed without its doing."""
    site.environment[settings.MAX_ATTEMPTS] = "1000000"
    return site


def test_nothing_is_lost_or_told_twice_where_workers_are_killed_all_the_time(
    patient: Site,
) -> None:
    # No lease runs out: it is the supervisor who notices.
    patient.environment[settings.LEASE] = "600"
    program = patient.start_workers(2)
    client = patient.client()
    tally, dice, killed = Tally(), random.Random(1), 0  # noqa: S311  # which one is all the same
    sending = threading.Thread(target=tally.submit, args=(client, range(TASKS)))
    sending.start()
    while sending.is_alive() or not tally.finished(0.0):
        time.sleep(0.3)
        # The server still tells of some that have died, whose number may be another's by now.
        living = set(program.members())
        workers = [worker for worker in patient.queue().workers() if worker["pid"] in living]
        if workers:
            # It may have died meanwhile.
            with suppress(ProcessLookupError):
                os.kill(dice.choice(workers)["pid"], signal.SIGKILL)
                killed += 1
    sending.join()
    tally.check()
    assert killed > 5
    counts = patient.counts()
    assert counts["done"] == TASKS
    assert "failed" not in counts
    until(lambda: patient.counts()["died"] >= killed - 1, "the deaths to be noticed")


def test_nothing_is_lost_where_whole_machines_are_gone_all_the_time(patient: Site) -> None:
    patient.environment |= SHORT_LEASE
    running: list[Program] = [patient.start_workers(1) for _ in range(2)]
    client = patient.client()
    tally, killed = Tally(), 0
    sending = threading.Thread(target=tally.submit, args=(client, range(TASKS // 2), 0.08))
    sending.start()
    while sending.is_alive() or not tally.finished(0.0):
        time.sleep(1.0)
        running.append(patient.start_workers(1, wait=False))
        running.pop(0).kill_group()
        killed += 1
    sending.join()
    tally.check()
    assert killed > 2
    assert patient.counts()["done"] == TASKS // 2
    assert "failed" not in patient.counts()


def test_workers_that_stand_still_past_their_lease_change_no_result(patient: Site) -> None:
    patient.environment |= SHORT_LEASE
    patient.start_workers(1)
    client = patient.client()
    tally = Tally()
    still = patient.start_workers(1)
    tally.submit(client, range(1000), slow=0.1)
    for _ in range(2):
        os.killpg(still.process.pid, signal.SIGSTOP)
        try:
            before = patient.counts().get("died", 0)
            until(lambda: patient.counts().get("died", 0) > before, "them to be taken for dead")  # noqa: B023
        finally:
            os.killpg(still.process.pid, signal.SIGCONT)
        patient.wait_for_workers(2)
    tally.check()
    assert patient.counts()["done"] == 1000


def test_a_call_of_c_that_holds_the_lock_for_longer_than_the_lease_is_not_a_death(
    site: Site,
) -> None:
    site.environment |= {settings.LEASE: "1", settings.HEARTBEAT: "0.2"}
    # Whoever is taken for dead once fails.
    site.environment[settings.MAX_ATTEMPTS] = "1"
    site.start_workers(2)
    client = site.client()
    # Each element more doubles the time.
    length, seconds = 22, 0.0
    while seconds < 1.5:
        length += 1
        started = time.monotonic()
        assert client.submit(hold_the_gil, length).result(60)
        seconds = time.monotonic() - started
    futures = [client.submit(hold_the_gil, length) for _ in range(2)]
    others = [client.submit(work, number, 0.0, b"", 0) for number in range(100)]
    assert [future.result(60)[0] for future in others] == list(range(100))
    assert all(future.result(60) for future in futures)
    assert site.counts() == {"done": length - 22 + 2 + 100}
