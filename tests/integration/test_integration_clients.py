"""Client processes that end in all ways, and others that take over their clusters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joblib import Parallel, delayed

from dockerparallel import (
    ClusterExistsError,
    ClusterNotFoundError,
    DockerCluster,
    DockerContainer,
    ExternalServer,
)

PREAMBLE = """
import os, signal, sys, time
from joblib import Parallel, delayed
from dockerparallel import DockerCluster

def square(number):
    return number * number

cluster = DockerCluster("local-process", "redis-queue", worker_number=2, job_queue_name={name!r},
                        verbose=0)
cluster.start()
assert Parallel()(delayed(square)(n) for n in range(5)) == [0, 1, 4, 9, 16]
print("computed", flush=True)
"""

Processes = Callable[[str], dict[int, str]]


def start_client(folder: Path, name: str, body: str) -> subprocess.Popen[str]:
    script = folder / "client.py"
    script.write_text(PREAMBLE.format(name=name) + textwrap.dedent(body), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    with process:
        output, errors = process.communicate(timeout=90)
    assert output.startswith("computed"), errors
    return process.returncode, errors


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("raise ValueError('a bug of the user')", 1),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", 128 + signal.SIGTERM),
        ("with cluster: sys.exit(5)", 5),
        ("executor = cluster.worker_container.executor(); executor.submit(time.sleep, 60)", 0),
    ],
)
def test_nothing_runs_after_the_client_has_ended(
    ending: str, code: int, tmp_path: Path, processes_with: Processes
) -> None:
    returned, errors = finish(start_client(tmp_path, "client-ends", ending))
    assert returned == code, errors
    assert processes_with("client-ends") == {}
    assert runtime_files("client-ends") == []
    assert ("Traceback" in errors) == (code == 1), errors


def runtime_files(name: str) -> list[Path]:
    return list(Path(os.environ["XDG_RUNTIME_DIR"]).rglob(f"*{name}*"))


def test_a_forked_child_that_ends_leaves_the_cluster_working(
    tmp_path: Path, processes_with: Processes
) -> None:
    code, errors = finish(
        start_client(
            tmp_path,
            "client-forks",
            """
            for ending in (lambda: sys.exit(0), lambda: os._exit(0)):
                child = os.fork()
                if child == 0:
                    ending()
                os.waitpid(child, 0)
                assert cluster.is_server_running()
                assert Parallel()(delayed(square)(n) for n in range(4)) == [0, 1, 4, 9]
            """,
        )
    )
    assert code == 0, errors
    assert processes_with("client-forks") == {}


def test_a_second_process_reconnects_after_the_first_is_gone(
    tmp_path: Path, make_cluster: Callable[..., DockerCluster], processes_with: Processes
) -> None:
    name = "reconnect"
    code, errors = finish(
        start_client(
            tmp_path,
            name,
            """
            cluster.set_worker_number(3)
            cluster.worker_container.add_pip_packages("left-for-later")
            cluster.stop_on_exit = False
            """,
        )
    )
    assert code == 0, errors
    assert len(processes_with(name)) >= 4
    cluster = make_cluster(job_queue_name=name)
    with pytest.raises(ClusterExistsError, match="reconnect"):
        cluster.start()
    cluster.reconnect()
    assert not cluster.stop_on_exit
    assert cluster.config.expected_worker_number == 3
    assert Parallel()(delayed(abs)(-n) for n in range(10)) == list(range(10))
    cluster.set_worker_number(1)
    assert cluster.worker_numbers().running == 1
    cluster.stop()
    assert processes_with(name) == {}
    with pytest.raises(ClusterNotFoundError):
        cluster.reconnect()


def test_a_new_cluster_replaces_the_old_one(
    tmp_path: Path, make_cluster: Callable[..., DockerCluster], processes_with: Processes
) -> None:
    name = "replace"
    finish(start_client(tmp_path, name, "cluster.stop_on_exit = False"))
    old = set(processes_with(name))
    cluster = make_cluster(job_queue_name=name, worker_number=1)
    cluster.start(if_exists="new")
    assert not old & set(processes_with(name))
    assert Parallel()(delayed(abs)(-n) for n in range(3)) == [0, 1, 2]


def test_a_killed_clients_cluster_can_be_found_and_removed(
    tmp_path: Path, make_cluster: Callable[..., DockerCluster], processes_with: Processes
) -> None:
    name = "killed-client"
    process = start_client(tmp_path, name, "os.kill(os.getpid(), signal.SIGKILL)")
    code, errors = finish(process)
    assert code == -signal.SIGKILL, errors
    assert processes_with(name)
    other = make_cluster(job_queue_name="another")
    assert name in str(other.cloud_provider.list_clusters())
    other.cloud_provider.remove_cluster(name)
    assert processes_with(name) == {}
    assert runtime_files(name) == []


def test_the_job_of_a_killed_client_is_collected_by_another(
    tmp_path: Path, make_cluster: Callable[..., DockerCluster], processes_with: Processes
) -> None:
    name = "killed-job"
    code, errors = finish(
        start_client(
            tmp_path,
            name,
            """
            def double(number):
                time.sleep(0.005)
                return 2 * number

            executor = cluster.worker_container.executor(job="nightly")
            futures = [executor.submit(double, number) for number in range(400)]
            futures[100].result(60)
            os.kill(os.getpid(), signal.SIGKILL)
            """,
        )
    )
    assert code == -signal.SIGKILL, errors
    cluster = make_cluster(job_queue_name=name)
    cluster.reconnect()
    [job] = cluster.worker_container.jobs()
    assert (job["name"], job["tasks"]) == ("nightly", 400)
    with cluster.worker_container.attach_job("nightly", take_over=True) as executor:
        futures = executor.attached_futures
        assert {number: future.result(60) for number, future in futures.items()} == {
            number: 2 * number for number in range(400)
        }
    assert cluster.worker_container.stats()["submitted"] <= 400 + 5
    cluster.worker_container.remove_job("nightly")
    cluster.stop()
    assert processes_with(name) == {}


def run_by_hand(container: DockerContainer) -> subprocess.Popen[bytes]:
    assert container.command is not None
    return subprocess.Popen(
        [sys.executable, *container.command[1:]],
        env={**os.environ, **container.full_environment()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    with process:
        process.terminate()
        process.wait(30)


def test_a_worker_started_by_hand_joins(
    cluster: DockerCluster, eventually: Callable[..., Any]
) -> None:
    cluster.set_worker_number(0)
    process = run_by_hand(cluster.external_worker())
    try:
        with cluster.worker_container.executor() as executor:
            assert executor.submit(abs, -7).result(30) == 7
        assert cluster.worker_numbers() == (0, 0, 0)
        eventually(lambda: len(cluster.worker_container.stats()["workers"]) == 1, "its hello")
    finally:
        end(process)
    eventually(lambda: not cluster.worker_container.stats()["workers"], "the worker to leave")


def test_an_external_server_serves_a_cluster_and_outlives_it(
    make_cluster: Callable[..., DockerCluster], cluster: DockerCluster
) -> None:
    host, port = cluster.server_address_for_client()
    server = ExternalServer(host, port, password=cluster.config.server_password)
    other = make_cluster(private_server=server, job_queue_name="guest", worker_number=1)
    other.start()
    with other.worker_container.executor() as executor:
        assert executor.submit(abs, -3).result(30) == 3
    other.stop()
    assert cluster.is_server_running()
    with cluster.worker_container.executor() as executor:
        assert executor.submit(abs, -4).result(30) == 4
