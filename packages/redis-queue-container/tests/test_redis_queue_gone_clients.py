"""The tasks of a client that is gone: they do not run, and nobody waits behind them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis_queue_harness import Site, until

from dockerparallel_redis_queue_container import process_origin
from dockerparallel_redis_queue_container.executor import ClusterExecutor
from dockerparallel_redis_queue_container.process_origin import has_ended, this_process
from dockerparallel_redis_queue_container.records import Task, record_of
from dockerparallel_redis_queue_container.task_queue import TaskQueue


@pytest.fixture
def queue(site: Site) -> TaskQueue:
    """Give a queue with three tasks of a client that is alive, behind those of another."""
    queue = site.queue()
    for client in ("gone", "here"):
        queue.announce_client(client)
    submit(site, queue, "gone", range(5))
    submit(site, queue, "here", range(3))
    return queue


def submit(site: Site, queue: TaskQueue, client: str, numbers: range, submission: int = 1) -> None:
    site.connection.set(queue.blob_key(client), b"content", ex=60)
    tasks = [Task(f"{client}.{number}", b"payload", client) for number in numbers]
    assert queue.submit(client, submission, tasks)


def claim(queue: TaskQueue, worker: str, **options: Any) -> list[str]:
    return [task.task_id for task in queue.claim(worker, **options).tasks]


def kept_of_gone(site: Site) -> list[str]:
    queue = site.queue()
    found = [name for name in site.stored() if name == "blob:gone"]
    for name in ("payloads", "owners", "attempts", "needs"):
        fields = queue.command("HKEYS", queue.key(name))
        found += [name for field in fields if field.startswith(b"gone.")]
    waiting = queue.command("LRANGE", queue.key("tasks"), 0, -1)
    return found + ["tasks" for task_id in waiting if task_id.startswith(b"gone.")]


def forget(queue: TaskQueue) -> None:
    queue.forget_client("gone")


def expire(queue: TaskQueue) -> None:
    assert queue.connection.ttl(queue.key("client:gone")) > 0
    queue.connection.delete(queue.key("client:gone"))


@pytest.mark.parametrize("go", [forget, expire])
def test_a_claim_passes_over_them_and_forgets_them(site: Site, queue: TaskQueue, go: Any) -> None:
    go(queue)
    assert claim(queue, "w", most=1) == ["here.0"]
    assert queue.numbers().sizes == {"waiting": 2, "running": 1}
    # Tasks have shared the blob, so it stays for ten seconds.
    assert kept_of_gone(site) in ([], ["blob:gone"])
    assert site.connection.ttl(queue.blob_key("gone")) <= 10


def test_at_full_memory_too(site: Site, queue: TaskQueue) -> None:
    forget(queue)
    site.connection.config_set("maxmemory", 1)
    try:
        assert claim(queue, "w") == ["here.0"]
    finally:
        site.connection.config_set("maxmemory", 0)
    assert kept_of_gone(site) == []


def test_those_of_a_worker_that_dies_are_forgotten(site: Site, queue: TaskQueue) -> None:
    assert claim(queue, "w", most=1) == ["gone.0"]
    forget(queue)
    queue.bury("w", b"Edied", blame=True)
    assert claim(queue, "v", most=1) == ["here.0"]
    assert kept_of_gone(site) in ([], ["blob:gone"])
    assert "retried" not in site.counts()


def test_none_is_given_to_an_idle_worker(site: Site, queue: TaskQueue) -> None:
    for task_id in ["gone.0", "gone.1"]:
        assert claim(queue, "w", most=1, holding=int(task_id[-1])) == [task_id]
    queue.cancel([f"{client}.{number}" for client in ("gone", "here") for number in range(5)])
    assert claim(queue, "v") == []
    forget(queue)
    assert queue.give_back("w", ["gone.1"]) == 1
    assert "inbox:v" not in site.stored()
    # What runs is let run; its result is dropped.
    assert claim(queue, "w", holding=0, finished=[record_of("gone.0", b"R")]) == []
    assert kept_of_gone(site) in ([], ["blob:gone"])
    assert not [name for name in site.stored() if name.startswith("results:")]


def test_very_many_are_passed_over_in_steps(site: Site, queue: TaskQueue) -> None:
    submit(site, queue, "gone", range(10, 30_010), 2)
    submit(site, queue, "here", range(10, 11), 2)
    forget(queue)
    queue.cancel([f"here.{number}" for number in range(3)])
    answer = queue.claim("w")
    assert (answer.tasks, answer.spare) == ([], True)
    assert claim(queue, "w") == ["here.10"]


def test_who_was_here_is_told_until_it_is_gone(site: Site) -> None:
    queue = site.queue()
    assert queue.announce_client("unknown") == {}
    assert queue.announce_client("a", "origin of a") == {}
    assert queue.announce_client("b", "origin of b") == {"a": "origin of a"}
    queue.forget_client("a")
    assert site.connection.hkeys(queue.key("clients")) == [b"b"]
    assert queue.announce_client("c", "origin of c") == {"b": "origin of b"}
    site.connection.delete(queue.key("client:b"))
    assert queue.announce_client("d") == {"c": "origin of c"}
    assert site.connection.hkeys(queue.key("clients")) == [b"c"]


PROGRAM = """
from dockerparallel_redis_queue_container.process_origin import this_process
print(this_process(), flush=True)
input()
"""


@contextmanager
def another_process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_a_process_has_ended_when_it_is_killed() -> None:
    assert not has_ended(this_process())
    with another_process() as (process, origin):
        assert not has_ended(origin)
        process.kill()
        # It is a zombie until somebody waits for it.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert has_ended(origin)
        process.wait()
        assert has_ended(origin)


def test_a_later_process_of_the_same_number_is_another() -> None:
    about = json.loads(this_process())
    assert has_ended(json.dumps(about | {"started": "1"}))


def test_of_another_machine_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = this_process()
    about = json.loads(origin)
    assert not has_ended(json.dumps(about | {"machine": "another", "started": "1"}))
    assert not has_ended("{}")
    monkeypatch.setattr(process_origin, "_PROC", tmp_path)
    assert this_process() == ""
    assert not has_ended(origin)


KILLED = """
import sys
from pathlib import Path
from dockerparallel import Endpoint
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.settings import QueueSettings

def wait(gate):
    import time
    deadline = time.monotonic() + 60
    while not Path(gate).exists() and time.monotonic() < deadline:
        time.sleep(0.01)

client = QueueClient(
    Endpoint("127.0.0.1", int(sys.argv[1])), sys.argv[2], sys.argv[3], QueueSettings(), 5.0
)
client.submit(wait, sys.argv[4] + "/gate")
for number in range(200):
    client.submit(Path.touch, Path(sys.argv[4], f"mark-{number}"))
print("sent", flush=True)
sys.stdin.read()
"""


def test_who_is_back_after_being_killed_waits_behind_nothing(site: Site, tmp_path: Path) -> None:
    site.start_workers(1)
    folder = tmp_path / "marks"
    folder.mkdir()
    server = site.server
    words = [str(server.port), server.password, site.name, str(folder)]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "sent\n"
        # The worker gives back what it has claimed behind the task that waits.
        until(
            lambda: site.queue().numbers().sizes == {"waiting": 200, "running": 1},
            "the first task to be the only one that a worker has",
        )
        process.kill()
    executor = ClusterExecutor(site.client())
    mine = executor.submit(abs, -1)
    (folder / "gate").touch()
    assert mine.result(30) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["gate"]
    until(
        lambda: site.queue().numbers().sizes == {"waiting": 0, "running": 0}, "nothing to be left"
    )
    assert not [name for name in site.stored() if name.startswith(("payloads", "tasks", "needs"))]
