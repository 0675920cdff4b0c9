"""Looking at containers: logs, their names, the host's address, and the command line."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from local_docker_clusters import maker, remains
from local_docker_parts import TinyContainer, container_names, docker, in_container, wait_for

from dockerparallel import DockerCluster, InvalidTypeError, InvalidValueError, ProviderError
from dockerparallel_local_docker_provider import LocalDockerProvider, __main__, __version__

Make = Callable[..., DockerCluster]

# Prints a line for each signal, so that a test decides when.
TALKER = """
import signal, sys
signal.signal(signal.SIGUSR1, lambda *_: print("called", flush=True))
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(print("over, ü")))
print("one\\ntwo\\nthree", flush=True)
while True:
    signal.pause()
"""

docker_test = [pytest.mark.docker, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def talking(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerCluster]:
    """Give a cluster of one worker that the tests of this module only look at."""
    name = f"dpt-{tmp_path_factory.mktemp('talking').stat().st_ino}-talk"
    with ExitStack() as clusters:
        cluster = maker(clusters, name, base_image)(TinyContainer(base_image, program=TALKER))
        cluster.start()
        worker = worker_of(cluster)
        wait_for("its words", lambda: "three" in cluster.cloud_provider.logs(worker))
        yield cluster
    left = remains(name)
    assert not left


def timers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def worker_of(cluster: DockerCluster) -> str:
    """Return the handle of the only worker."""
    (handle,) = set(cluster.cloud_provider.containers()) - {"server"}
    return str(handle)


class TestTalking:
    """One cluster for all of these."""

    pytestmark = docker_test

    def test_containers(self, talking: DockerCluster) -> None:
        containers = talking.cloud_provider.containers()
        assert list(containers) == ["server", worker_of(talking)]
        name = talking.config.job_queue_name
        assert set(containers.values()) == set(container_names(name))

    def test_the_log_of_one(self, talking: DockerCluster) -> None:
        logs, worker = talking.cloud_provider.logs, worker_of(talking)
        assert logs(worker).startswith("one\ntwo\nthree\n")
        assert logs("server").startswith("listening")
        assert len(logs(worker, lines=1).splitlines()) == 1

    def test_the_logs_of_all(self, talking: DockerCluster) -> None:
        logs = talking.cloud_provider.logs(lines=1)
        assert logs.startswith("==> server <==\nlistening")
        assert f"\n==> {worker_of(talking)} <==\n" in logs

    def test_wrong_questions(self, talking: DockerCluster) -> None:
        logs = talking.cloud_provider.logs
        with pytest.raises(InvalidValueError, match=r"No log 'worker-9'\. There are: server, work"):
            logs("worker-9")
        with pytest.raises(InvalidValueError, match="name its container"):
            logs(follow=True)
        with pytest.raises(InvalidValueError, match="lines must be at least 1"):
            logs("server", lines=0)
        with pytest.raises(InvalidTypeError, match="lines must be a whole number"):
            logs("server", lines="all")
        with pytest.raises(InvalidValueError, match="timeout must be above 0"):
            logs("server", follow=True, timeout=0)

    def test_following_goes_on_until_the_time_is_up(self, talking: DockerCluster) -> None:
        name = talking.cloud_provider.containers()[worker_of(talking)]
        lines = talking.cloud_provider.logs(worker_of(talking), lines=1, follow=True, timeout=3.0)
        assert next(lines) in {"three", "called"}
        docker("kill", "--signal=USR1", name)
        assert next(lines) == "called"
        assert list(lines) == []

    def test_who_stops_listening_needs_no_time_limit(self, talking: DockerCluster) -> None:
        lines = talking.cloud_provider.logs(worker_of(talking), follow=True)
        assert next(lines) == "one"
        lines.close()

    def test_a_time_limit_goes_with_who_stops_listening(self, talking: DockerCluster) -> None:
        lines = talking.cloud_provider.logs(worker_of(talking), follow=True, timeout=3600.0)
        assert next(lines) == "one"
        assert timers()
        lines.close()
        wait_for("the end of the alarm", lambda: not timers())

    def test_listing(self, talking: DockerCluster, capsys: pytest.CaptureFixture[str]) -> None:
        assert __main__.main(["list"]) == 0
        head, *rows = capsys.readouterr().out.splitlines()
        assert head.split() == ["name", "owner", "server", "workers", "containers", "version"]
        (row,) = [row.split() for row in rows if row.startswith(talking.config.job_queue_name)]
        assert row[2:] == ["runs", "1", "2", __version__]

    def test_printing_logs(
        self, talking: DockerCluster, capsys: pytest.CaptureFixture[str]
    ) -> None:
        name, worker = talking.config.job_queue_name, worker_of(talking)
        assert __main__.main(["logs", name]) == 0
        assert capsys.readouterr().out.startswith("listening")
        assert __main__.main(["logs", name, worker]) == 0
        assert capsys.readouterr().out.startswith("one\ntwo\n")
        assert __main__.main(["logs", name, worker, "--lines", "1"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 1

    def test_a_container_that_is_not_there(
        self, talking: DockerCluster, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert __main__.main(["logs", talking.config.job_queue_name, "worker-9"]) == 2
        errors = capsys.readouterr().err
        assert f"has no container 'worker-9'. It has: server, {worker_of(talking)}." in errors
        assert __main__.main(["shell", "no-such-cluster"]) == 2
        assert "has no container 'server'. It has: none." in capsys.readouterr().err

    def test_a_shell(self, talking: DockerCluster) -> None:
        command = [sys.executable, "-m", "dockerparallel_local_docker_provider", "shell"]
        done = subprocess.run(
            [*command, talking.config.job_queue_name, worker_of(talking)],
            input="hostname; exit 5",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.stdout, done.returncode) == (f"{worker_of(talking)}\n", 5), done.stderr

    def test_a_shell_needs_the_docker_command(
        self,
        talking: DockerCluster,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        assert __main__.main(["shell", talking.config.job_queue_name]) == 1
        assert "no 'docker' command on PATH" in capsys.readouterr().err

    def test_the_hosts_address_leads_here(self, talking: DockerCluster) -> None:
        address = talking.cloud_provider.host_address()
        with socket.create_server((address, 0)) as here:
            port = here.getsockname()[1]
            call = f"import socket; socket.create_connection(({address!r}, {port}), 30)"
            name = talking.cloud_provider.containers()["server"]
            done = in_container(name, "python3", "-c", call)
            assert done.returncode == 0, done.stderr


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_following_ends_with_the_container(make_cluster: Make, base_image: str) -> None:
    cluster = make_cluster(TinyContainer(base_image, program=TALKER))
    cluster.start()
    lines = cluster.cloud_provider.logs(worker_of(cluster), follow=True)
    assert [next(lines) for _ in range(3)] == ["one", "two", "three"]
    docker("kill", "--signal=USR2", cluster.cloud_provider.containers()[worker_of(cluster)])
    assert list(lines) == ["over, ü"]


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_silence_is_no_failure_while_following(make_cluster: Make, base_image: str) -> None:
    program = "import time; print('one', flush=True); time.sleep(3); print('two')"
    cluster = make_cluster(TinyContainer(base_image, program=program))
    cluster.start()
    impatient = make_cluster(provider=LocalDockerProvider(engine_timeout=1.0))
    worker = worker_of(cluster)
    lines = impatient.cloud_provider.logs(worker, follow=True)
    assert list(lines) == ["one", "two"]


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_removing(make_cluster: Make, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = make_cluster()
    cluster.start()
    assert __main__.main(["remove", prefix]) == 0
    assert capsys.readouterr().out == f"{prefix}: removed 2 container(s) and 1 network(s)\n"
    assert container_names(prefix) == []
    assert __main__.main(["remove", prefix]) == 0
    assert "removed 0 container(s)" in capsys.readouterr().out
    assert not cluster.is_server_running()


@pytest.mark.parametrize("command", ["remove", "logs", "shell"])
def test_a_name_that_is_none(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main([command, "no/name"]) == 2
    assert "job_queue_name 'no/name' cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: command"),
        (["logs"], "the following arguments are required: name"),
        (["logs", "x", "--lines", "0"], "'0' is no number of lines"),
        (["logs", "x", "--lines", "many"], "'many' is no number of lines"),
        (["--host", "a", "--context", "b", "list"], "not allowed with"),
        (["dance"], "invalid choice: 'dance'"),
    ],
)
def test_wrong_input(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        __main__.main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_an_engine_that_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--host", "tcp://127.0.0.1:1", "list"]) == 1
    assert "No Docker engine answers at tcp://127.0.0.1:1" in capsys.readouterr().err
    assert __main__.main(["--context", "no-such-context", "list"]) == 2
    assert "There is no docker context 'no-such-context'" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        __main__.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.docker
def test_the_hosts_address_is_not_known_on_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = LocalDockerProvider()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ProviderError, match="not known"):
        provider.host_address()
    provider._connection.close()
