"""Engines that are not there, not for this user, silent, or refuse: what the user is told."""

from __future__ import annotations

import gc
import http.server
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from docker.errors import APIError
from local_docker_parts import run_session

from dockerparallel import DockerParallelError, ProviderError
from dockerparallel_local_docker_provider import (
    EngineError,
    EnginePermissionError,
    EngineTimeoutError,
    EngineUnreachableError,
    NetworkPoolError,
    PortTakenError,
)
from dockerparallel_local_docker_provider.connection import EngineConnection, EngineOptions
from dockerparallel_local_docker_provider.engine import Engine
from dockerparallel_local_docker_provider.engine_address import EngineAddress, find_engine
from dockerparallel_local_docker_provider.engine_errors import translated


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """See that no socket is left to the collector."""
    yield
    gc.collect()


def connect(url: str, timeout: float = 30.0) -> Engine:
    return EngineConnection(EngineOptions(url, None, timeout, 1)).engine


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[str]:
    """Give the address of an engine that takes connections and never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "silent.sock"))
        listener.listen()
        yield f"unix://{tmp_path}/silent.sock"


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineUnreachableError) as caught:
        connect(f"unix://{tmp_path}/none.sock")
    message = str(caught.value)
    assert f"No Docker engine answers at unix://{tmp_path}/none.sock (docker_host=)" in message
    assert "No such file or directory" in message
    assert "systemctl start docker" in message
    assert isinstance(caught.value, ConnectionError)


def test_a_socket_on_which_nobody_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
        with pytest.raises(EngineUnreachableError, match="Connection refused"):
            connect(f"unix://{tmp_path}/dead.sock")


def test_a_port_on_which_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(EngineUnreachableError, match="Connection refused"):
            connect(f"tcp://127.0.0.1:{port}")


def test_a_silent_engine(silent: str) -> None:
    with pytest.raises(EngineTimeoutError, match="did not answer") as caught:
        connect(silent, timeout=0.1)
    assert isinstance(caught.value, TimeoutError)


def test_a_socket_that_is_not_for_this_user() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    script = """
import os, socket, sys
from dockerparallel_local_docker_provider import EnginePermissionError
from dockerparallel_local_docker_provider.connection import EngineConnection, EngineOptions
path = sys.argv[1]
connection = EngineConnection(EngineOptions(f"unix://{path}", None, 30.0, 1))
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(path)
    listener.listen()
    os.chmod(path, 0o660)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    try:
        connection.engine
    except EnginePermissionError as error:
        assert isinstance(error, PermissionError)
        print(error)
"""
    # Not below pytest's folder, which is not for others either.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        said = run_session(script, f"{folder}/engine.sock")
    assert said.startswith(f"This user may not use the Docker engine at unix://{folder}/engine")
    assert "join the group docker" in said


class Refusing(http.server.BaseHTTPRequestHandler):
    """An engine that refuses all but to tell its version."""

    def do_GET(self) -> None:
        is_version = self.path == "/version"
        answer = {"ApiVersion": "1.41"} if is_version else {"message": "nothing doing"}
        self.send_response(200 if is_version else 500)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


def test_an_engine_that_refuses_says_why() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            engine = connect(f"tcp://127.0.0.1:{server.server_port}")
            with pytest.raises(EngineError, match=r"could not tell its size: .*nothing doing"):
                engine.size()
            engine.close()
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("words", "kind", "advice"),
    [
        ("Bind for 127.0.0.1:80 failed: port is already allocated", PortTakenError, "host_port="),
        ("listen tcp4 127.0.0.1:80: bind: address already in use", PortTakenError, "host_port="),
        (
            "could not find an available, non-overlapping IPv4 address pool among the defaults",
            NetworkPoolError,
            "docker network prune",
        ),
        (
            "all predefined address pools have been fully subnetted",
            NetworkPoolError,
            "docker network prune",
        ),
        ("fork/exec /proc/self/exe: cannot allocate memory", EngineError, "no memory left"),
        ("something else", EngineError, "something else"),
    ],
)
def test_each_refusal_has_its_error(words: str, kind: type[EngineError], advice: str) -> None:
    address = find_engine("tcp://host:2375", None)
    response = requests.Response()
    response.status_code = 500
    with (
        pytest.raises(EngineError, match="could not start it: ") as caught,
        translated(address, "start it", 60.0),
    ):
        raise APIError("500 Server Error", response, explanation=words)
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert advice in str(caught.value)
    assert isinstance(caught.value, ProviderError)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (requests.exceptions.ReadTimeout(), EngineTimeoutError, "within 7 s .*engine_timeout="),
        (TimeoutError(), EngineTimeoutError, "within 7 s"),
        (requests.exceptions.ConnectionError("Read timed out."), EngineTimeoutError, "in time"),
        (PermissionError(13, "Permission denied"), EnginePermissionError, "group docker"),
        (requests.exceptions.ConnectionError("gone"), EngineUnreachableError, "gone"),
        (OSError(), EngineUnreachableError, "OSError"),
    ],
)
def test_each_failure_has_its_error(
    error: Exception, kind: type[DockerParallelError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught, translated(local(), "answer", 7.0):
        raise error
    assert type(caught.value) is kind
    assert caught.value.__cause__ is error


def test_on_an_ssh_host_the_advice_is_another() -> None:
    address = EngineAddress("ssh://host", None, "DOCKER_HOST")
    with (
        pytest.raises(EngineUnreachableError, match=r"ssh://host .*'ssh' logs in there"),
        translated(address, "answer", 7.0),
    ):
        raise PermissionError(13, "Permission denied")


def local() -> EngineAddress:
    return EngineAddress("unix:///var/run/docker.sock", None, "the default socket")


@pytest.mark.parametrize("make", [ValueError, KeyboardInterrupt, AttributeError])
def test_what_is_not_the_engines_stays(make: Callable[[], BaseException]) -> None:
    with pytest.raises(BaseException) as caught, translated(local(), "answer", 7.0):  # noqa: PT011
        raise make()
    assert not isinstance(caught.value, DockerParallelError)
