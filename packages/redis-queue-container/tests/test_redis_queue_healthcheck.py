"""The image's check of health, run as Docker runs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from redis_queue_harness import PATIENCE, Server, Site, free_port, until

from dockerparallel.environment import BIND_ADDRESS_VARIABLE
from dockerparallel_redis_queue_container import settings
from dockerparallel_redis_queue_container.image import healthcheck

SCRIPT = str(healthcheck.__file__)


def check(*arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, *arguments],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_the_names_are_those_of_the_package() -> None:
    assert healthcheck.PORT == settings.PORT
    assert healthcheck.BIND_ADDRESS == BIND_ADDRESS_VARIABLE
    assert healthcheck.HEARTBEAT_FILE == settings.HEARTBEAT_FILE
    assert healthcheck.LEASE == settings.LEASE
    assert settings.QueueSettings.lease == healthcheck.DEFAULT_LEASE


def test_it_imports_no_more_than_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "importtime", SCRIPT, "--help"],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "os" in imported
    assert not imported & {"pathlib", "re", "redis", "site", "socket", "typing"}


def test_a_server_that_asks_for_the_password_is_healthy(server: Server) -> None:
    assert check(**{settings.PORT: str(server.port)}) == (0, "")


def test_a_server_that_is_not_there_is_not() -> None:
    port = str(free_port())
    code, said = check(**{settings.PORT: port, BIND_ADDRESS_VARIABLE: "localhost"})
    assert code == 1
    assert f"localhost:{port} does not answer" in said


def test_another_server_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400\r\n")
                connection.recv(100)

        thread = threading.Thread(target=answer)
        thread.start()
        code, said = check(**{settings.PORT: str(listener.getsockname()[1])})
        thread.join(PATIENCE)
    assert code == 1
    assert "answers b'HTTP/1.1 400" in said


@pytest.mark.parametrize(
    ("age", "lease", "code"), [(5, None, 0), (15, None, 1), (15, "20", 0), (15, "?", 1)]
)
def test_workers_are_healthy_within_their_lease(
    age: int, lease: str | None, code: int, tmp_path: Path
) -> None:
    file = tmp_path / "heartbeat"
    file.touch()
    when = file.stat().st_mtime - age
    os.utime(file, (when, when))
    environment = {settings.HEARTBEAT_FILE: str(file)}
    if lease is not None:
        environment[settings.LEASE] = lease
    found, said = check(**environment)
    assert found == code
    assert ("took the last heartbeat 15." in said) == bool(code)


def test_workers_that_have_not_reached_the_server_are_not(tmp_path: Path) -> None:
    code, said = check(**{settings.HEARTBEAT_FILE: str(tmp_path / "none")})
    assert code == 1
    assert "have not reached the server yet" in said
    code, said = check()
    assert code == 1
    assert "does not name the file" in said


def test_the_supervisor_gives_the_sign(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    site.environment[settings.HEARTBEAT_FILE] = str(file)
    site.start_workers(1)
    until(file.exists, "the sign of life")
    assert check(**site.environment) == (0, "")


def test_a_sign_that_cannot_be_given_stops_no_work(site: Site, tmp_path: Path) -> None:
    site.environment[settings.HEARTBEAT_FILE] = str(tmp_path / "no" / "folder")
    program = site.start_workers(1)
    assert site.client().submit(pow, 2, 10).result(PATIENCE) == 1024
    assert "The sign of life cannot be given" in program.log
