"""A way to the server that stands still, breaks, or loses connections without telling."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait

import pytest
from redis_queue_fault_tasks import work
from redis_queue_faults import Proxy, Tally
from redis_queue_harness import PATIENCE, Site, cluster_on, until

from dockerparallel import BrokenClusterError
from dockerparallel_redis_queue_container import settings

pytestmark = pytest.mark.faults

TASKS = 1000


@pytest.fixture
def way(site: Site) -> Iterator[Proxy]:
    with Proxy(site.server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def patient(site: Site) -> Site:
    """Have short leases, and let any number of workers that seem to die take a task along."""
    site.environment |= {
        settings.LEASE: "2",
        settings.HEARTBEAT: "0.2",
        settings.MAX_ATTEMPTS: "1000000",
    }
    return site


def stall(way: Proxy, seconds: float) -> None:
    way.stall()
    time.sleep(seconds)
    way.resume()


def cut(way: Proxy, seconds: float) -> None:
    way.stall()
    way.drop()
    time.sleep(seconds)
    way.resume()


def forget(way: Proxy, seconds: float) -> None:
    """Lose all connections, as a router does that was restarted; new ones work after a while."""
    way.stall()
    way.lose()
    time.sleep(seconds)
    way.resume()


FAULTS = [stall, cut, forget]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_cut_between_client_and_server_changes_no_result(
    patient: Site, way: Proxy, fault: Callable[[Proxy, float], None]
) -> None:
    patient.start_workers(2)
    client = patient.client(server_timeout=4, endpoint=way.endpoint)
    tally = Tally()
    sending = threading.Thread(target=tally.submit, args=(client, range(TASKS)))
    sending.start()
    until(lambda: tally.done > 10, "results")
    for seconds in (0.1, 0.6):
        fault(way, seconds)
    sending.join(PATIENCE)
    tally.check()
    assert patient.counts() == {"done": TASKS}


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [(stall, 0.3), (forget, 0.3), (cut, 3.0), (forget, 3.0)],
    ids=["short stall", "short loss", "cut", "loss"],
)
def test_a_cut_between_workers_and_server_changes_no_result(
    patient: Site, way: Proxy, fault: Callable[[Proxy, float], None], seconds: float
) -> None:
    patient.start_workers(1)
    patient.start_workers(1, {settings.SERVER_PORT: str(way.endpoint.port)})
    client = patient.client()
    tally = Tally()
    tally.submit(client, range(TASKS))
    until(lambda: tally.done > 10, "results")
    fault(way, seconds)
    tally.check()
    counts = patient.counts()
    assert counts["done"] == TASKS
    if seconds < 1:
        assert counts == {"done": TASKS}
    # They come back.
    patient.wait_for_workers(2)


def test_a_server_that_answers_slowly_is_asked_for_more_at_a_time(
    patient: Site, way: Proxy
) -> None:
    patient.start_workers(2, {settings.SERVER_PORT: str(way.endpoint.port)})
    client = patient.client()
    client.submit(len, "").result(PATIENCE)
    # There and back it takes longer than a worker may be silent on a short way.
    way.slow_down(0.06)
    tally = Tally()
    tally.submit(client, range(TASKS))
    tally.check()
    assert patient.counts() == {"done": TASKS + 1}
    pieces = way.pieces
    tally = Tally()
    tally.submit(client, range(TASKS))
    tally.check()
    assert way.pieces - pieces < TASKS / 2


def test_where_all_are_cut_off_for_longer_than_the_lease_nobody_is_taken_for_dead(
    patient: Site, way: Proxy
) -> None:
    port = {settings.SERVER_PORT: str(way.endpoint.port)}
    programs = [patient.start_workers(1, port) for _ in range(2)]
    client = patient.client(server_timeout=20, endpoint=way.endpoint)
    tally = Tally()
    tally.submit(client, range(TASKS))
    until(lambda: tally.done > 10, "results")
    cut(way, 3.0)
    tally.check()
    assert patient.counts() == {"done": TASKS}
    assert [program.process.poll() for program in programs] == [None, None]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_cut_longer_than_the_server_timeout_fails_futures_and_one_can_start_anew(
    patient: Site, way: Proxy, fault: Callable[[Proxy, float], None]
) -> None:
    patient.start_workers(1)
    with cluster_on(patient, port=way.endpoint.port) as cluster:
        cluster.deregister_backend()
        cluster.register_backend(server_timeout=1.5)
        executor = cluster.worker_container.executor()
        running = [executor.submit(work, number, 0.2, b"", 0) for number in range(20)]
        fault(way, 0.1)
        until(lambda: any(future.done() for future in running), "a result")
        way.stall()
        if fault is not stall:
            way.drop()
        # Those who are in the middle of it are woken too.
        caught: list[BaseException] = []

        def submit(data: bytes) -> None:
            try:
                while True:
                    executor.submit(len, data)
            except BrokenClusterError as error:
                caught.append(error)

        threads = [
            threading.Thread(target=submit, args=(bytes(size),)) for size in (1, 1000, 10**6, 10**7)
        ]
        for thread in threads:
            thread.start()
        assert not wait(running, PATIENCE).not_done
        for thread in threads:
            thread.join(PATIENCE)
        assert len(caught) == 4
        for future in running:
            if (failure := future.exception(0)) is not None:
                assert isinstance(failure, BrokenClusterError)
                assert "register_backend" in str(failure)
        assert isinstance(running[-1].exception(0), BrokenClusterError)
        assert not running[-1].cancel()
        way.resume()
        cluster.register_backend(server_timeout=5)
        assert cluster.worker_container.executor().submit(abs, -5).result(PATIENCE) == 5
        with pytest.raises(BrokenClusterError):
            executor.submit(abs, -5)
