"""A server that is gone for good, stands still, forgets its scripts, or drops all connections."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from redis_queue_fault_tasks import work
from redis_queue_faults import Proxy, Tally
from redis_queue_harness import PATIENCE, Server, Site, cluster_on, until

from dockerparallel import BrokenClusterError
from dockerparallel_redis_queue_container import QueueConnectionError, settings
from dockerparallel_redis_queue_container.executor import ClusterExecutor
from dockerparallel_redis_queue_container.futures import ClusterFuture

pytestmark = pytest.mark.faults

TASKS = 5000


def test_a_server_that_is_gone_for_good_fails_all_and_holds_up_nobody(
    own_server: Server, tmp_path: Path
) -> None:
    site = Site(own_server, tmp_path)
    program = site.start_workers(2, {settings.SERVER_WAIT: "1"})
    try:
        executor = ClusterExecutor(site.client(server_timeout=1))
        futures: list[ClusterFuture[object]] = []
        caught: list[BrokenClusterError] = []

        def submit_for_ever(size: int) -> None:
            try:
                while True:
                    futures.append(executor.submit(work, 1, 0.01, bytes(size), size))
            except BrokenClusterError as error:
                caught.append(error)

        threads = [threading.Thread(target=submit_for_ever, args=(10**n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: any(future.done() for future in futures), "a result")
        own_server.kill()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(caught) == 8
        failures = [future.exception(PATIENCE) for future in futures]
        assert any(failures)
        for failure in failures:
            assert failure is None or isinstance(failure, BrokenClusterError)
            assert failure is None or "register_backend" in str(failure)
        cluster = cluster_on(site)
        for connect in (cluster.register_backend, cluster.worker_container.executor):
            with pytest.raises(QueueConnectionError, match=r"within 0\.5 s"):
                connect(timeout=0.5)
        assert program.process.wait(PATIENCE) == 1
        until(lambda: not program.members(), "the workers to end")
    finally:
        site.close()


SCRIPT = """
import sys, time
from dockerparallel import Endpoint
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.settings import QueueSettings

endpoint = Endpoint("127.0.0.1", int(sys.argv[1]))
client = QueueClient(endpoint, sys.argv[2], sys.argv[3], QueueSettings(result_expiry=2), 5.0)
futures = [client.submit(pow, 2, n) for n in range(100)]
print("submitted", flush=True)
sys.stdin.readline()
"""


def start_client(site: Site, port: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(port), site.server.password, site.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "submitted\n"
    return process


def test_a_process_ends_though_the_server_does_not_answer(site: Site) -> None:
    with Proxy(site.server.endpoint) as way:
        process = start_client(site, way.endpoint.port)
        way.stall()
        process.communicate("\n", timeout=PATIENCE)
        assert process.returncode == 0


def test_what_a_killed_client_leaves_behind_expires(site: Site) -> None:
    site.environment[settings.RESULT_EXPIRY] = "2"
    process = start_client(site, site.server.port)
    until(lambda: site.queue().numbers().sizes["waiting"] == 100, "its tasks")
    process.kill()
    process.communicate(timeout=PATIENCE)
    program = site.start_workers(1)
    until(lambda: site.counts().get("done") == 100, "its tasks to be done")
    program.end()
    until(lambda: not site.stored(), f"{site.stored()} to expire")


def test_results_that_nobody_fetches_any_more_expire(site: Site) -> None:
    site.environment[settings.RESULT_EXPIRY] = "2"
    process = start_client(site, site.server.port)
    until(lambda: site.queue().numbers().sizes["waiting"] == 100, "its tasks")
    os.kill(process.pid, signal.SIGSTOP)
    try:
        program = site.start_workers(1)
        until(lambda: site.counts().get("done") == 100, "its tasks to be done")
        until(lambda: not any("client" in name for name in site.stored()), "it to be forgotten")
        until(lambda: not any("results" in name for name in site.stored()), "them to expire")
        program.end()
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)
    until(lambda: not site.stored(), f"{site.stored()} to expire")


def test_connections_that_are_closed_and_scripts_that_are_forgotten_change_no_result(
    site: Site,
) -> None:
    site.environment[settings.MAX_ATTEMPTS] = "1"
    site.start_workers(2)
    client = site.client()
    tally = Tally()
    sending = threading.Thread(target=tally.submit, args=(client, range(TASKS), 0.03))
    sending.start()
    kills = 0
    while sending.is_alive() or not tally.finished(0.25):
        site.connection.script_flush()
        kills += int(site.connection.client_kill_filter(_type="normal", skipme=True))
        time.sleep(0.05)
    sending.join()
    tally.check()
    assert kills > 10
    assert site.counts() == {"done": TASKS}


def test_a_server_that_stands_still_for_longer_than_the_lease_costs_nobody_an_attempt(
    own_server: Server, tmp_path: Path
) -> None:
    assert own_server.program is not None
    site = Site(own_server, tmp_path)
    try:
        site.environment |= {
            settings.LEASE: "1",
            settings.HEARTBEAT: "0.2",
            settings.MAX_ATTEMPTS: "1",
        }
        site.start_workers(2)
        client = site.client()
        tally = Tally()
        tally.submit(client, range(2000))
        until(lambda: tally.done > 10, "results")
        os.killpg(own_server.program.process.pid, signal.SIGSTOP)
        time.sleep(3)
        os.killpg(own_server.program.process.pid, signal.SIGCONT)
        done = tally.done
        until(lambda: tally.done > done, "it to go on")
        for every in (True, False):
            site.connection.client_pause(1500, all=every)
        tally.check()
        assert site.counts() == {"done": 2000}
    finally:
        site.close()
