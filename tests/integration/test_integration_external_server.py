"""A server that the conformance suite runs outside the cluster: in Docker, else as a process."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from dockerparallel import BackendError, CloudProvider, DockerCluster, WaitTimeoutError
from dockerparallel_conformance import external_process
from dockerparallel_conformance.external import RunningServer, external_server
from dockerparallel_conformance.external_waiting import ExternalServerError
from dockerparallel_local_process_provider import LocalProcessProvider
from dockerparallel_redis_queue_container import (
    RedisQueueServerContainer,
    RedisQueueWorkerContainer,
)

# Making the base image included.
in_docker = [pytest.mark.docker, pytest.mark.timeout(900)]
MARK = "MARK_OF_THE_TEST"
LABEL = "dockerparallel.conformance"

TELLS_ITS_SECRET_AND_ENDS = """
import os, sys
from dockerparallel.environment import read_secret
print("the password is", read_secret("DOCKERPARALLEL_REDIS_PASSWORD"))
sys.exit("there is no room left")
"""

NEVER_LISTENS = """
import time
print("thinking", flush=True)
time.sleep(600)
"""

HAS_A_CHILD_AND_IGNORES_SIGTERM = """
import signal, socket, subprocess, sys, os
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
server = socket.create_server(("127.0.0.1", int(os.environ["DOCKERPARALLEL_REDIS_PORT"])))
guests = []
while True:
    guests.append(server.accept()[0])
"""

Form = Callable[..., RedisQueueServerContainer]


@pytest.fixture
def mark() -> str:
    """Give the value of a variable that this test's server alone has, to find it by."""
    return secrets.token_hex(8)


@pytest.fixture
def image_server(redis_queue_image: str, mark: str) -> Form:
    """Make server containers that run in Docker."""
    return lambda **fields: RedisQueueServerContainer(
        image=redis_queue_image, environment={MARK: mark}, **fields
    )


@pytest.fixture
def process_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mark: str) -> Form:
    """Make server containers that run as a process, since nobody answers as a Docker engine."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    return lambda **fields: RedisQueueServerContainer(environment={MARK: mark}, **fields)


@pytest.fixture(
    params=[pytest.param("image_server", marks=in_docker), pytest.param("process_server")]
)
def any_server(request: pytest.FixtureRequest) -> Form:
    """Make server containers of both forms, one after the other."""
    form: Form = request.getfixturevalue(request.param)
    return form


@pytest.fixture(autouse=True)
def nothing_is_left(mark: str) -> Iterator[None]:
    """Fail where a container, a process or a file of the test's server is left."""
    networks = networks_of_nobody()
    yield
    assert not containers_with(mark)
    assert not processes_in("environ", f"{MARK}={mark}")
    assert not list(Path(os.environ["XDG_RUNTIME_DIR"]).glob("dockerparallel-external-*"))
    assert networks_of_nobody() == networks


def run(container: RedisQueueServerContainer, timeout: float = 60.0) -> Any:
    worker = RedisQueueWorkerContainer()
    return external_server(LocalProcessProvider(), worker, container, timeout=timeout)


def networks_of_nobody() -> set[str]:
    """Return the networks that belong to no cluster and to no harness, as other tests run."""
    owners = '{{.Label "dockerparallel.cluster"}}{{.Label "dockerparallel.fargate-harness"}}'
    listed = docker("network", "ls", "--format", "{{.Name}}," + owners)
    return {line for line in listed.splitlines() if line.endswith(",")}


def docker(*arguments: str) -> str:
    """Return what the command writes; nothing where it fails."""
    try:
        asked = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        return ""
    return asked.stdout if asked.returncode == 0 else ""


def containers_with(mark: str) -> list[Any]:
    """Return what the engine tells of containers of the test, stopped ones too."""
    # One that is gone meanwhile is of another test.
    ids = docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}").split()
    told = [json.loads(docker("inspect", number) or "[]") for number in ids]
    return [entry for entries in told for entry in entries if mark in str(entry["Config"]["Env"])]


def processes_in(file: str, text: str) -> list[int]:
    """Return processes that have a text in their command line or environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / file).read_bytes():
                found.append(int(folder.name))
        except OSError:
            # It ended meanwhile.
            continue
    return found


def client_of(running: RunningServer) -> redis.Redis:
    server = running.server
    assert server.public_ip is not None
    assert server.public_port is not None
    return redis.Redis(server.public_ip, server.public_port, password=server.password)


def test_a_cluster_computes_with_it_and_leaves_it_running(
    any_server: Form, make_cluster: Callable[..., DockerCluster]
) -> None:
    with run(any_server()) as running:
        cluster = make_cluster(private_server=running.server, worker_number=2)
        cluster.start()
        with cluster.worker_container.executor() as executor:
            assert list(executor.map(abs, range(-20, 0))) == list(range(20, 0, -1))
        cluster.stop()
        with client_of(running) as client:
            assert client.ping()


def test_it_refuses_another_password(
    any_server: Form, make_cluster: Callable[..., DockerCluster]
) -> None:
    with run(any_server()) as running:
        wrong = replace(running.server, password="another")
        cluster = make_cluster(private_server=wrong, worker_number=0)
        with pytest.raises(BackendError, match="password"):
            cluster.start()


def test_it_is_reached_from_loopback_alone_and_each_has_its_own_password(any_server: Form) -> None:
    with run(any_server()) as running, run(any_server()) as other:
        server = running.server
        assert server.public_ip == server.private_ip == "127.0.0.1"
        assert server.public_port == server.private_port != other.server.public_port
        assert not server.server_worker_same_lan
        assert server.password != other.server.password
        listening = listening_addresses(server.public_port or 0)
        # 127.0.0.1, as the system writes it.
        assert listening == {"0100007F"}


def listening_addresses(port: int) -> set[str]:
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    ends = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {address for address, number in ends if int(number, 16) == port}


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_in_docker_nothing_shows_its_password(image_server: Form, mark: str) -> None:
    container = image_server()
    with run(container) as running:
        (told,) = containers_with(mark)
        assert running.how == f"in a Docker container of the image {container.image!r}"
        assert running.server.password not in json.dumps(told)
        assert running.server.password not in repr(running)
        assert "redis-server" in docker("top", told["Id"])
        (secret,) = told["Mounts"]
        assert (secret["Destination"], secret["RW"]) == ("/run/secrets", False)


def test_as_a_process_nothing_shows_its_password_and_it_is_told_why(
    process_server: Form, caplog: pytest.LogCaptureFixture
) -> None:
    with run(process_server()) as running:
        assert running.how.startswith(
            "as a process of this machine, since no Docker engine answers at unix:///"
        )
        assert running.how in caplog.text
        password = running.server.password
        assert password is not None
        with client_of(running) as client:
            pid = client.info()["process_id"]
        assert not processes_in("cmdline", password)
        assert not processes_in("environ", password)
        assert password not in caplog.text
        assert os.getsid(pid) != os.getsid(0)
    assert not Path(f"/proc/{pid}").exists()


def test_it_is_gone_where_the_block_raises(any_server: Form) -> None:
    running: list[RunningServer] = []

    def fail() -> None:
        with run(any_server()) as server, client_of(server) as client:
            assert client.ping()
            running.append(server)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running[0].server.public_port or 0), timeout=10)


def test_the_log_of_a_server_that_ends_is_told_without_its_secrets(any_server: Form) -> None:
    failing = any_server(command=["python", "-c", TELLS_ITS_SECRET_AND_ENDS])
    with pytest.raises(ExternalServerError) as raised, run(failing):
        pass
    message = str(raised.value)
    assert "ended with exit code 1 before it accepted a connection" in message
    _, _, log = message.partition("The end of its log:\n")
    # Docker tells what came by standard output and standard error in any order.
    assert set(log.splitlines()) == {
        "the password is [DOCKERPARALLEL_REDIS_PASSWORD]",
        "there is no room left",
    }


def test_a_server_that_never_listens_is_given_up(any_server: Form) -> None:
    silent = any_server(command=["python", "-c", NEVER_LISTENS])
    with pytest.raises(WaitTimeoutError, match=r"within 2 seconds(?s:.*)thinking"):
        run(silent, timeout=2).__enter__()


def test_a_program_that_is_not_there_is_told(any_server: Form) -> None:
    with (
        pytest.raises(ExternalServerError, match="no-such-program"),
        run(any_server(command=["no-such-program"])),
    ):
        pass


@pytest.mark.docker
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("no-such-image", "which is no name to pull by"),
        # Nobody listens on the first port.
        ("127.0.0.1:1/no/such-image:1", "cannot pull it"),
    ],
)
def test_without_the_image_it_is_a_process(image: str, reason: str, mark: str) -> None:
    container = RedisQueueServerContainer(image=image, environment={MARK: mark})
    with run(container) as running:
        assert running.how.startswith("as a process of this machine, since this machine's Docker")
        assert repr(image) in running.how
        assert reason in running.how
        assert not containers_with(mark)
        with client_of(running) as client:
            assert client.ping()


def test_an_engine_elsewhere_is_left_alone(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with run(RedisQueueServerContainer(environment={MARK: mark})) as running:
        assert "tcp://192.0.2.1:2375 may be another machine's" in running.how


def test_a_container_without_a_command_cannot_be_a_process(process_server: Form) -> None:
    with (
        pytest.raises(ExternalServerError, match="has the command None"),
        run(process_server(command=None)),
    ):
        pass


def test_what_a_stubborn_server_has_started_ends_with_it(
    process_server: Form, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    monkeypatch.setattr(external_process, "_GRACE_SECONDS", 0.5)
    stubborn = process_server(command=["python", "-c", HAS_A_CHILD_AND_IGNORES_SIGTERM])
    with run(stubborn) as running:
        assert len(processes_in("environ", f"{MARK}={mark}")) == 2
        # Unlike the real server, this one would show what it was given.
        assert not processes_in("environ", str(running.server.password))


def test_nothing_but_the_configuring_of_the_server_is_asked_for(process_server: Form) -> None:
    class Untouchable(CloudProvider):
        """Fails where it is used."""

        def run_server(self, cluster: Any, container: Any, hardware: Any) -> None:
            raise AssertionError

        def stop_server(self, cluster: Any) -> None:
            raise AssertionError

        def server_address(self, cluster: Any) -> Any:
            raise AssertionError

        def set_worker_number(self, *arguments: Any) -> None:
            raise AssertionError

    container = process_server()
    threads = threading.active_count()
    with external_server(Untouchable(), RedisQueueWorkerContainer(), container):
        pass
    assert container.secrets == {}
    assert threading.active_count() == threads


def test_importing_the_suite_imports_neither_testcontainers_nor_docker() -> None:
    code = (
        "import sys, dockerparallel_conformance.external; "
        "sys.exit(str({'docker', 'testcontainers'} & set(sys.modules) or ''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr.strip() == ""


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_the_users_choice_of_a_reaper_is_kept(
    image_server: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    from testcontainers.core.config import testcontainers_config

    # Its image cannot be pulled here: with it no container would start.
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", False)
    with run(image_server()):
        assert testcontainers_config.ryuk_disabled is False
