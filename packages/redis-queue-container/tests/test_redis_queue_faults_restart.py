"""A server that is killed and started again with its append-only file, and one that lost a part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_queue_fault_tasks import LARGE, work
from redis_queue_faults import Tally
from redis_queue_harness import (
    PATIENCE,
    Server,
    Site,
    free_port,
    running_server,
    start_program,
    until,
)

from dockerparallel import BrokenClusterError
from dockerparallel_redis_queue_container import outcomes, settings
from dockerparallel_redis_queue_container.keys import key_prefix
from dockerparallel_redis_queue_container.records import Task
from dockerparallel_redis_queue_container.serialization import TaskPickler

pytestmark = pytest.mark.faults

LEASE = 1.0
AWAY = 2.0


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Site]:
    """Give a queue whose server keeps its data, and in which a death fails its task at once."""
    for name in ("own-server", "data"):
        (tmp_path / name).mkdir()
    with running_server(tmp_path / "own-server") as server:
        server.kill()
        server.environment[settings.DATA_FOLDER] = str(tmp_path / "data")
        server.start()
        site = Site(server, tmp_path)
        site.environment |= {
            settings.LEASE: str(LEASE),
            settings.HEARTBEAT: "0.2",
            settings.MAX_ATTEMPTS: "1",
        }
        try:
            yield site
        finally:
            site.close()


def restart(server: Server, seconds: float = AWAY) -> None:
    """Kill the server, and start it again when all leases are over."""
    server.kill()
    time.sleep(seconds)
    server.start()


def test_work_goes_on_after_a_restart_and_no_task_is_blamed(kept: Site) -> None:
    kept.start_workers(2)
    client = kept.client(server_timeout=20)
    tally = Tally()
    tally.submit(client, range(1500), slow=0.1)
    for number in (100, 800):
        until(lambda: tally.done > number, "results")  # noqa: B023
        restart(kept.server)
    tally.check()
    assert kept.counts() == {"done": 1500}
    kept.wait_for_workers(2)


def test_what_is_submitted_while_the_server_is_away_arrives_when_it_is_back(kept: Site) -> None:
    kept.start_workers(2)
    client = kept.client(server_timeout=20)
    before = [client.submit(work, number, 0.5, b"", 1) for number in range(6)]
    kept.server.kill()
    during = [
        client.submit_call(work, (number, 0.0, b"", 1), {}, wait=False) for number in range(100)
    ]
    time.sleep(AWAY)
    kept.server.start()
    assert [future.result(30)[0] for future in before] == list(range(6))
    assert [future.result(30)[0] for future in during] == list(range(100))
    assert kept.counts() == {"done": 106}


def test_a_task_waits_for_its_large_argument_while_the_server_restarts(kept: Site) -> None:
    client = kept.client(server_timeout=20)
    futures = [
        client.submit(work, number, 0.002, bytes([number]) * LARGE, 1) for number in range(150)
    ]
    kept.start_workers(2)
    for number in (20, 60, 100):
        until(lambda: sum(future.done() for future in futures) > number, "results")  # noqa: B023
        restart(kept.server, seconds=0.2)
    assert [future.result(30)[0] for future in futures] == list(range(150))
    assert kept.counts() == {"done": 150}


def test_results_that_were_not_fetched_are_there_after_a_restart(kept: Site) -> None:
    program = kept.start_workers(1)
    queue = kept.queue()
    queue.announce_client("slow")
    pickler = TaskPickler(lambda _digest, _bundle: None)
    tasks = [Task(f"slow.{n}", pickler.pack(pow, (n, 2), {}).payload) for n in range(20)]
    assert queue.submit("slow", 1, tasks)
    until(lambda: kept.counts().get("done") == 20, "the tasks to be done")
    program.end()
    restart(kept.server, seconds=0.1)
    kept.connection.close()
    arrived = kept.queue().take("slow", [])
    taken = {delivery.task_id: outcomes.load(delivery.outcome) for delivery in arrived}
    assert taken == {f"slow.{n}": (True, n**2) for n in range(20)}


def test_a_server_that_lost_the_last_submission_fails_the_futures(site: Site) -> None:
    client = site.client()
    futures = [client.submit(work, number, 0.0, b"", 1) for number in range(3)]
    until(lambda: site.queue().numbers().sizes["waiting"] == 3, "them to be submitted")
    # As a server that writes each second, or a replica, that has not got the last one.
    name = key_prefix(site.name) + f"client:{client._session}"
    site.connection.set(name, client._sender.submitted - 1, keepttl=True)
    for future in futures:
        with pytest.raises(BrokenClusterError, match="has lost open tasks"):
            future.result(30)
    with pytest.raises(BrokenClusterError):
        client.submit(work, 4, 0.0, b"", 1)


def test_a_server_that_lost_a_submission_takes_no_later_one(site: Site) -> None:
    client = site.client()
    client.submit(work, 1, 0.0, b"", 1)
    client._collector.close()
    assert client._collector.thread is not None
    client._collector.thread.join()
    site.connection.set(key_prefix(site.name) + f"client:{client._session}", 0, keepttl=True)
    with pytest.raises(BrokenClusterError, match="has lost what it knew"):
        client.submit(work, 2, 0.0, b"", 1).result(30)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    environment = {
        settings.PASSWORD: "x",
        settings.PORT: str(free_port()),
        settings.DATA_FOLDER: str(tmp_path / "none"),
    }
    program = start_program("server", tmp_path / "server.log", environment, tmp_path)
    assert program.process.wait(PATIENCE) == 1
    assert f"{settings.DATA_FOLDER}='{tmp_path}/none' is no folder" in program.log
