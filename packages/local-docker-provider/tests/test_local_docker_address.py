"""Which engine is used: arguments, environment, and contexts of the docker command."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dockerparallel import InvalidValueError
from dockerparallel_local_docker_provider.engine_address import EngineAddress, find_engine

CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")

Add = Callable[..., Path]


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the docker command's folder: no context is current, and the environment says nothing."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


@pytest.fixture
def add_context(config: Path) -> Add:
    """Add a context as ``docker context create`` does, and return its file."""

    def add(name: str, host: str | None, **endpoint: Any) -> Path:
        folder = config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True)
        docker = {} if host is None else {"docker": {"Host": host, **endpoint}}
        about = {"Name": name, "Metadata": {}, "Endpoints": docker}
        (folder / "meta.json").write_text(json.dumps(about))
        return folder / "meta.json"

    return add


def use(config: Path, name: str) -> None:
    (config / "config.json").write_text(json.dumps({"currentContext": name}))


def certificates(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in CERTIFICATES:
        (folder / name).write_text("made up")
    return folder


def test_the_default_socket() -> None:
    address = find_engine(None, None)
    assert address == EngineAddress("unix:///var/run/docker.sock", None, "the default socket")
    assert address.is_local
    assert not address.is_ssh


@pytest.mark.parametrize(
    ("url", "local", "ssh"),
    [
        ("unix:///run/user/1000/docker.sock", True, False),
        ("http+unix:///var/run/docker.sock", True, False),
        ("tcp://host:2375", False, False),
        ("ssh://me@host:22", False, True),
    ],
)
def test_kinds_of_addresses(url: str, local: bool, ssh: bool) -> None:
    address = find_engine(url, None)
    assert (address.url, address.is_local, address.is_ssh) == (url, local, ssh)
    assert str(address) == f"{url} (docker_host=)"


def test_who_goes_before_whom(
    add_context: Add, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("argument", "variable", "current"):
        add_context(name, f"tcp://{name}:2375")
    use(config, "current")
    assert find_engine(None, None).url == "tcp://current:2375"
    monkeypatch.setenv("DOCKER_CONTEXT", "variable")
    assert find_engine(None, None).url == "tcp://variable:2375"
    monkeypatch.setenv("DOCKER_HOST", "tcp://host:2375")
    assert str(find_engine(None, None)) == "tcp://host:2375 (DOCKER_HOST)"
    assert find_engine(None, "argument").url == "tcp://argument:2375"
    assert str(find_engine(None, "argument")).endswith("(the docker context 'argument')")
    assert find_engine("tcp://given:2375", None).url == "tcp://given:2375"


@pytest.mark.parametrize("name", ["DOCKER_HOST", "DOCKER_CONTEXT"])
def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    assert find_engine(None, None).origin == "the default socket"


def test_the_default_context_is_the_default_socket(add_context: Add, config: Path) -> None:
    add_context("current", "tcp://current:2375")
    use(config, "current")
    assert find_engine(None, "default").url == "unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("verify", "scheme", "expected"),
    [("1", "tcp", True), ("", "tcp", False), ("1", "ssh", None), ("1", "unix", None)],
)
def test_certificates_of_the_environment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verify: str,
    scheme: str,
    expected: bool | None,
) -> None:
    folder = certificates(tmp_path / "certificates")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", verify)
    monkeypatch.setenv("DOCKER_CERT_PATH", str(folder))
    monkeypatch.setenv("DOCKER_HOST", f"{scheme}://host")
    for tls in (find_engine(None, None).tls, find_engine(f"{scheme}://host", None).tls):
        if expected is None:
            assert tls is None
        else:
            assert tls is not None
            assert tls.verify is expected
            assert tls.ca_cert == str(folder / "ca.pem")
            assert tls.cert == (str(folder / "cert.pem"), str(folder / "key.pem"))


def test_certificates_stand_in_the_home_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = certificates(tmp_path / ".docker")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    tls = find_engine("tcp://host:2376", None).tls
    assert tls is not None
    assert tls.ca_cert == str(folder / "ca.pem")


def test_certificates_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(InvalidValueError, match=r"nowhere'.*DOCKER_CERT_PATH"):
        find_engine("tcp://host:2376", None)


def test_certificates_of_a_context(add_context: Add, config: Path) -> None:
    add_context("safe", "tcp://host:2376", SkipTLSVerify=False)
    digest = hashlib.sha256(b"safe").hexdigest()
    folder = certificates(config / "contexts" / "tls" / digest / "docker")
    tls = find_engine(None, "safe").tls
    assert tls is not None
    assert tls.verify is True
    assert tls.ca_cert == str(folder / "ca.pem")


def test_an_unknown_context_lists_those_there_are(add_context: Add) -> None:
    add_context("work", "tcp://work:2375")
    message = r"no docker context 'wrok' \(from context=\)\. There are: default, work\."
    with pytest.raises(InvalidValueError, match=message):
        find_engine(None, "wrok")


def test_where_the_name_came_from_is_said(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(config, "gone")
    with pytest.raises(InvalidValueError, match="from the current context of the docker command"):
        find_engine(None, None)
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(InvalidValueError, match="from DOCKER_CONTEXT"):
        find_engine(None, None)


def test_contexts_beside_no_settings_file_are_told_of(add_context: Add, config: Path) -> None:
    add_context("work", "tcp://work:2375")
    (config / "config.json").unlink()
    with pytest.raises(InvalidValueError, match="'docker context use work' makes one"):
        find_engine(None, "work")


def test_a_context_without_an_engine(add_context: Add) -> None:
    add_context("empty", "")
    with pytest.raises(InvalidValueError, match=r"'empty'.*names no engine"):
        find_engine(None, "empty")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"Name": "bad", "Endpoints": 7}'])
def test_a_context_whose_file_is_damaged(add_context: Add, content: str) -> None:
    add_context("bad", "tcp://x:1").write_text(content)
    with pytest.raises(InvalidValueError, match=r"'bad' .*cannot be used.*docker context inspect"):
        find_engine(None, "bad")
    # It does not hide what is wrong with another one.
    with pytest.raises(InvalidValueError, match="There is no docker context 'other'"):
        find_engine(None, "other")


def test_settings_of_the_docker_command_that_are_damaged_name_no_context(config: Path) -> None:
    (config / "config.json").write_text("{")
    assert find_engine(None, None).origin == "the default socket"


@pytest.mark.parametrize(
    "url", ["nonsense://x", "tcp://", "unix:", "just words", "127.0.0.1:2375", "/run/docker.sock"]
)
def test_what_is_no_address_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidValueError, match=r"docker_host=\) is no address of a Docker engine"):
        find_engine(url, None)
    monkeypatch.setenv("DOCKER_HOST", url)
    with pytest.raises(InvalidValueError, match=r"DOCKER_HOST\) is no address of a Docker engine"):
        find_engine(None, None)
