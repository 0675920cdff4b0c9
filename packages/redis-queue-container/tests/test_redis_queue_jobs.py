"""Named jobs: their tasks and results outlive the session that began them."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_queue_harness import Site, cluster_on, until

from dockerparallel import BrokenClusterError, DockerCluster
from dockerparallel.errors import InvalidTypeError, InvalidValueError
from dockerparallel_redis_queue_container import (
    ClusterExecutor,
    JobExistsError,
    JobInUseError,
    JobNotFoundError,
    jobs,
    settings,
)

SESSION = """
import os, sys, time
from dockerparallel import Endpoint
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.executor import ClusterExecutor
from dockerparallel_redis_queue_container.jobs import JobRequest
from dockerparallel_redis_queue_container.settings import QueueSettings

def task(number, gate):
    while number >= 50 and not os.path.exists(gate):
        time.sleep(0.01)
    if number == 7:
        raise ValueError("seven")
    return number * number

port, name, gate = int(sys.argv[1]), sys.argv[2], sys.argv[3]
settings = QueueSettings.from_environment(os.environ)
client = QueueClient(
    Endpoint("127.0.0.1", port), os.environ["SECRET"], name, settings, 5.0,
    job=JobRequest("nightly", "create"),
)
executor = ClusterExecutor(client)
futures = [executor.submit(task, number, gate) for number in range(100)]
for future in futures[:30]:
    future.exception(60)
print("collected", flush=True)
time.sleep(600)
"""


def square(number: int) -> int:
    return number * number


def wait_for(path: Path) -> bool:
    while not path.exists():
        time.sleep(0.01)
    return True


@pytest.fixture
def cluster(site: Site) -> Iterator[DockerCluster]:
    """Give a cluster of this session, on one worker."""
    site.start_workers(1)
    cluster = cluster_on(site, worker_number=1, verbose=0)
    cluster.start()
    yield cluster
    cluster.stop()


def killed_session(site: Site, gate: Path) -> None:
    """Have a session begin the job "nightly" and collect a part of it, and kill it."""
    arguments = [str(site.server.port), site.name, str(gate)]
    process = subprocess.Popen(
        [sys.executable, "-c", SESSION, *arguments],
        env=os.environ | {"SECRET": site.server.password} | site.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "collected\n"
        process.send_signal(signal.SIGKILL)


def test_all_results_of_a_killed_session_are_there(
    cluster: DockerCluster, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_session(site, tmp_path / "gate")
    [job] = cluster.worker_container.jobs()
    assert (job["name"], job["tasks"]) == ("nightly", 100)
    assert 30 <= job["done"] < 100
    with pytest.raises(JobInUseError, match="heard of"):
        cluster.worker_container.attach_job("nightly")
    # Its silence is not waited for here.
    monkeypatch.setattr(jobs, "SILENT_SECONDS", 0.0)
    with cluster.worker_container.attach_job("nightly") as executor:
        futures = executor.attached_futures
        assert sorted(futures) == list(range(100))
        assert [future.number for future in futures.values()] == list(range(100))
        (tmp_path / "gate").touch()
        for number, future in futures.items():
            if number == 7:
                assert str(future.exception(60)) == "seven"
            else:
                assert future.result(60) == number * number
        assert executor.submit(square, 100).number == 100
    [job] = cluster.worker_container.jobs()
    assert (job["tasks"], job["done"], job["held_by"]) == (101, 101, None)
    assert cluster.worker_container.stats()["done"] == 100


def test_a_job_is_had_again_and_again(cluster: DockerCluster) -> None:
    with cluster.worker_container.executor(job="again") as executor:
        assert executor.job == "again"
        assert list(executor.map(square, range(5))) == [0, 1, 4, 9, 16]
        assert executor.attached_futures == {}
    for count in (5, 6, 7):
        with cluster.worker_container.attach_job("again") as executor:
            results = {n: future.result(30) for n, future in executor.attached_futures.items()}
            assert results == {number: number * number for number in range(count)}
            assert executor.submit(square, count).result(30) == count * count


def test_leaving_the_block_waits_for_what_was_attached(
    cluster: DockerCluster, tmp_path: Path
) -> None:
    first = cluster.worker_container.executor(job="waits")
    first.submit(wait_for, tmp_path / "gate")
    with cluster.worker_container.attach_job("waits", take_over=True) as second:
        futures = second.attached_futures
        (tmp_path / "gate").touch()
    assert futures[0].done()
    assert futures[0].result() is True
    first.shutdown()


def test_a_job_must_be_had_by_its_own_name(cluster: DockerCluster) -> None:
    container = cluster.worker_container
    with container.executor(job="one"):
        with pytest.raises(JobExistsError, match="attach_job"):
            container.executor(job="one")
        with pytest.raises(JobNotFoundError, match="there are: 'one'") as caught:
            container.attach_job("two")
        assert isinstance(caught.value, LookupError)
        with pytest.raises(JobNotFoundError):
            container.remove_job("two")
        with pytest.raises(JobInUseError, match=f"Process {os.getpid()} on "):
            container.remove_job("one")
        [job] = container.jobs()
        assert job["held_by"]["pid"] == os.getpid()
    container.remove_job("one")
    assert container.jobs() == []


@pytest.mark.parametrize("name", ["", "-a", "a b", "a.b", "@a", "ä", "a" * 64])
def test_bad_names_are_refused(cluster: DockerCluster, name: str) -> None:
    for action in ("executor", "attach_job", "remove_job"):
        with pytest.raises(InvalidValueError, match="letters, digits"):
            getattr(cluster.worker_container, action)(job=name)
    assert cluster.worker_container.jobs() == []


def test_a_name_must_be_a_string(cluster: DockerCluster) -> None:
    with pytest.raises(InvalidTypeError, match="must be a string, not 7"):
        cluster.worker_container.executor(job=7)


def test_taking_over_ends_the_other_session(cluster: DockerCluster, tmp_path: Path) -> None:
    first = cluster.worker_container.executor(job="wanted")
    future = first.submit(wait_for, tmp_path / "gate")
    with cluster.worker_container.attach_job("wanted", take_over=True) as second:
        with pytest.raises(BrokenClusterError, match="does not hold the job 'wanted'"):
            future.result(30)
        with pytest.raises(BrokenClusterError):
            first.submit(square, 1)
        (tmp_path / "gate").touch()
        assert second.attached_futures[0].result(30) is True
        assert second.submit(square, 3).number == 1
    first.shutdown()


def test_cancelled_tasks_are_not_waited_for(cluster: DockerCluster, tmp_path: Path) -> None:
    executor = cluster.worker_container.executor(job="less")
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    executor.submit(begun.touch)
    executor.submit(wait_for, gate)
    until(begun.exists, "the first task")
    last = executor.submit(square, 3)
    until(lambda: cluster.worker_container.stats()["submitted"] == 3, "it to be submitted")
    until(last.cancel, "the cancellation")
    assert last.cancelled()
    gate.touch()
    executor.shutdown()
    with cluster.worker_container.attach_job("less") as second:
        assert sorted(second.attached_futures) == [0, 1]
        assert second.submit(square, 4).number == 3


def test_a_job_goes_on_when_the_backend_is_deregistered(
    cluster: DockerCluster, tmp_path: Path
) -> None:
    executor = cluster.worker_container.executor(job="on")
    future = executor.submit(wait_for, tmp_path / "gate")
    cluster.deregister_backend()
    assert isinstance(future.exception(30), BrokenClusterError)
    with cluster.worker_container.attach_job("on") as second:
        (tmp_path / "gate").touch()
        assert second.attached_futures[0].result(30) is True


def test_removing_leaves_nothing(cluster: DockerCluster, site: Site, tmp_path: Path) -> None:
    before = site.stored()
    executor = cluster.worker_container.executor(job="gone")
    begun = tmp_path / "begun"
    executor.submit(begun.touch).result(30)
    running = executor.submit(wait_for, tmp_path / "gate")
    waiting = [executor.submit(square, number) for number in range(2500)]
    until(lambda: cluster.worker_container.stats()["waiting"] >= 2400, "the tasks")
    cluster.worker_container.remove_job("gone", force=True)
    assert isinstance(running.exception(30), BrokenClusterError)
    assert isinstance(waiting[-1].exception(30), BrokenClusterError)
    (tmp_path / "gate").touch()
    executor.shutdown()
    until(lambda: site.queue().numbers().sizes == {"waiting": 0, "running": 0}, "no tasks")
    counted = {"done", "counts", "code"}
    until(lambda: site.stored() - counted <= before, "no keys of the job")


def test_a_job_that_nobody_collects_expires(site: Site, tmp_path: Path) -> None:
    site.environment[settings.RESULT_EXPIRY] = "2"
    site.start_workers(1)
    before = site.stored()
    killed_session(site, tmp_path / "gate")
    assert "results:@nightly" in site.stored()
    (tmp_path / "gate").touch()
    until(lambda: site.queue().numbers().sizes == {"waiting": 0, "running": 0}, "no tasks")
    counted = {"done", "failed", "counts", "jobs", "code"}
    until(lambda: site.stored() - counted <= before, "no results")
    assert jobs.JobBook(site.queue()).jobs() == []
    assert "jobs" not in site.stored()


def test_what_the_job_holds_stays_while_its_session_lives(site: Site) -> None:
    site.environment[settings.RESULT_EXPIRY] = "2"
    site.start_workers(1)
    cluster = cluster_on(site, worker_number=1, verbose=0)
    cluster.start()
    other = cluster.worker_container.executor()
    with cluster.worker_container.executor(job="kept") as executor:
        executor.submit(square, 2).result(30)
        # Longer than a result is kept that nobody collects.
        other.submit(time.sleep, 3.0).result(30)
    with cluster.worker_container.attach_job("kept") as executor:
        assert executor.attached_futures[0].result(30) == 4
    cluster.stop()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_is_told_to_have_its_own(cluster: DockerCluster) -> None:
    with cluster.worker_container.executor(job="parent") as executor:
        assert executor.submit(square, 2).result(30) == 4
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writer, _try_to_submit(executor).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        assert os.read(reader, 1000).startswith(b"The parent process holds the job 'parent'")
        os.close(reader)
        os.close(writer)
        assert executor.submit(square, 3).result(30) == 9


def _try_to_submit(executor: ClusterExecutor) -> str:
    try:
        executor.submit(square, 2)
    except JobInUseError as error:
        return str(error)
    return "submitted"


def test_errors_and_large_results_are_kept(cluster: DockerCluster) -> None:
    with cluster.worker_container.executor(job="large") as executor:
        executor.submit(operator.truediv, 1, 0).exception(30)
        executor.submit(operator.mul, b"x", 3_000_000).result(30)
        many = [executor.submit(operator.mul, b"y", 400_000) for _ in range(60)]
        assert all(len(future.result(30)) == 400_000 for future in many)
    with cluster.worker_container.attach_job("large") as executor:
        futures = executor.attached_futures
        assert isinstance(futures[0].exception(30), ZeroDivisionError)
        assert futures[1].result(30) == b"x" * 3_000_000
        assert all(futures[2 + n].result(30) == b"y" * 400_000 for n in range(60))
