"""The base image of the Docker tests: where its packages come from, and that it is made once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools import base_image
from tools.docker_engine import REQUIRE_VARIABLE, os_release

SCRIPT = Path(__file__).parents[2] / "tools" / "docker_engine.py"

# What apt tells: of others that have packages for the same suite, and of others of its own.
INDEX = """\
Stranger bookworm main https://packages.example.org/debian/
Debian bookworm-updates main http://mirror.example.org/debian/
Debian bookworm main http://mirror.example.org/debian/
Debian bookworm contrib http://mirror.example.org/debian/
Debian bookworm main http://second.example.org/debian/
"""


@pytest.fixture
def debian(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine be Debian 12 with the sources of `INDEX`."""
    monkeypatch.setattr(base_image, "os_release", lambda: {"ID": "debian"})
    monkeypatch.setattr(base_image, "run", lambda *command: INDEX)


@pytest.mark.usefixtures("debian")
def test_packages_come_from_the_distributions_own_source() -> None:
    assert base_image.source_of("bookworm") == (
        "http://mirror.example.org/debian/",
        ["contrib", "main"],
    )


@pytest.mark.usefixtures("debian")
def test_a_suite_that_apt_has_not_read_is_refused() -> None:
    with pytest.raises(base_image.BaseImageError, match=r"'trixie'.*run apt-get update"):
        base_image.source_of("trixie")


def test_a_command_that_takes_too_long_ends_with_its_children(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    eventually: Callable[..., Any],
) -> None:
    monkeypatch.setattr(base_image, "BUILD_SECONDS", 1.0)
    pid = tmp_path / "pid"
    with pytest.raises(base_image.BaseImageError, match="did not end within 1 seconds"):
        base_image.run("sh", "-c", f"sleep 600 & echo $! > {pid}; wait")
    process = Path("/proc", pid.read_text().strip())
    eventually(lambda: not process.exists(), "the child is gone and its parent has noticed")


def test_a_command_that_fails_tells_what_it_said() -> None:
    with pytest.raises(base_image.BaseImageError, match="no room"):
        base_image.run("sh", "-c", "echo no room; exit 1")


def test_a_lock_that_another_holds_is_waited_for_and_then_given_up() -> None:
    file = Path(__file__)
    with base_image.locked(file, 10), pytest.raises(base_image.BaseImageError, match="another"):
        base_image.locked(file, 0.2).__enter__()
    with base_image.locked(file, 0):
        pass


@pytest.mark.docker
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("redis_queue_image")
def test_it_is_made_once_and_has_what_the_containers_need(
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = base_image.ensure()
    assert capsys.readouterr().out == f"base_image: {image} is there\n"
    programs = "python3 -c 'import venv, ensurepip, ssl'; redis-server --version; tini --version"
    done = subprocess.run(
        ["docker", "run", "--rm", image, "sh", "-euc", programs],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Redis server v=" in done.stdout
    assert image.endswith(f":{os_release()['ID']}{os_release()['VERSION_ID']}")


@pytest.mark.docker
@pytest.mark.parametrize(
    ("required", "code", "said"), [("0", 0, "that make an image will be skipped: "), ("1", 1, "=1")]
)
def test_a_machine_without_debootstrap_is_told_what_is_missing(
    tmp_path: Path, required: str, code: int, said: str
) -> None:
    # All that it has is the command of the engine that answers.
    (tmp_path / "docker").symlink_to(str(shutil.which("docker")))
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={**os.environ, "PATH": str(tmp_path), REQUIRE_VARIABLE: required},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert said in done.stdout
    assert "debootstrap, which makes the base image, is missing" in done.stdout
