"""What an ``ssh`` command can do wrong, played by a script: what the user is told of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dockerparallel_local_docker_provider import ForwardError
from dockerparallel_local_docker_provider.connection import EngineConnection, EngineOptions
from dockerparallel_local_docker_provider.engine_address import find_engine
from dockerparallel_local_docker_provider.ssh import forwarded_port

URL = "ssh://me@far.example:2222"
KNOWS_ITS_SOCKET = 'case "$*" in *context*) echo unix:///run/far.sock; exit;; esac\n'


def play(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put an ``ssh`` on PATH that notes its arguments and runs a script."""
    program = folder / "ssh"
    program.write_text(f'#!/bin/sh\necho "$*" >>{folder}/asked\n{script}')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def connect(timeout: float = 60.0) -> None:
    connection = EngineConnection(EngineOptions(URL, None, timeout, 1))
    try:
        connection.engine.size()
    finally:
        connection.close()


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """See that no folder of a socket is there before, so that a test may ask afterwards."""
    assert left() == []


def left() -> list[Path]:
    return list(Path(os.environ["XDG_RUNTIME_DIR"]).glob("dockerparallel-ssh-*"))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no such host >&2; exit 255", r"cannot be used: no such host\. See that 'ssh' logs"),
        ("echo sh: docker: not found >&2; exit 127", "docker: not found"),
        ("echo tcp://10.0.0.1:2375", "the engine of that host is at 'tcp://10.0.0.1:2375'"),
        ("exit 0", "is at '', no socket"),
        (KNOWS_ITS_SOCKET + "echo refused >&2; exit 255", r"could not forward /run/far\.sock"),
        (KNOWS_ITS_SOCKET + "echo refused >&2; exit 255", "refused"),
    ],
)
def test_the_words_of_ssh_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    play(tmp_path, monkeypatch, script)
    with pytest.raises(ForwardError, match=words) as caught:
        connect()
    assert f"{URL} (docker_host=)" in str(caught.value)
    assert left() == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exec sleep 600", "did not log in to .* within 0.5 s: .*engine_timeout="),
        (f"{KNOWS_ITS_SOCKET}exec cat", r"did not forward /run/far\.sock .*: it said nothing\."),
        (f"{KNOWS_ITS_SOCKET}echo waiting >&2\nexec cat", "within 0.5 s: waiting"),
    ],
)
def test_an_ssh_that_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    play(tmp_path, monkeypatch, script)
    with pytest.raises(ForwardError, match=words):
        connect(timeout=0.5)
    assert left() == []


def test_how_ssh_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(tmp_path, monkeypatch, f"{KNOWS_ITS_SOCKET}exit 255")
    with pytest.raises(ForwardError):
        connect()
    asked, forward = (tmp_path / "asked").read_text().splitlines()
    for line in (asked, forward):
        assert "-o BatchMode=yes " in line
        assert " -o ControlPath=none " in line
        assert " -l me -p 2222 -- far.example " in line
    assert asked.endswith("docker context inspect --format '{{.Endpoints.docker.Host}}'")
    assert "/engine.sock:/run/far.sock " in forward


def test_a_name_that_looks_like_an_option_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(tmp_path, monkeypatch, "exit 255")
    connection = EngineConnection(EngineOptions("ssh://-oProxyCommand=x", None, 60.0, 1))
    with pytest.raises(ForwardError):
        connection.engine.close()
    assert " -- -oproxycommand=x docker" in (tmp_path / "asked").read_text()


def test_a_port_that_cannot_be_forwarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(tmp_path, monkeypatch, "echo bind: Address already in use >&2; exit 255")
    with pytest.raises(ForwardError, match=r"could not forward 127\.0\.0\.1:8888 of .*in use"):
        forwarded_port(find_engine(URL, None), 8888, 60.0)
