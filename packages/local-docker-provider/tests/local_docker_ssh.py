"""An ssh host with a Docker engine: a container that has this machine's engine and network."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from local_docker_parts import docker, wait_for

from tools.docker_engine import REQUIRE_VARIABLE

END_SECONDS = 30.0
SERVER_OPTIONS = (
    "ListenAddress=127.0.0.1",
    "AuthorizedKeysFile=/keys/good.pub",
    "StrictModes=no",
    "UsePAM=no",
    "PasswordAuthentication=no",
    "PermitRootLogin=prohibit-password",
)
CLIENT_OPTIONS = """
UserKnownHostsFile {keys}/known_hosts
GlobalKnownHostsFile /dev/null
StrictHostKeyChecking yes
IdentitiesOnly yes
IdentityAgent none
ConnectTimeout 20
"""


@dataclass(frozen=True)
class SshHost:
    """How to reach the host."""

    port: int
    keys: Path

    @property
    def url(self) -> str:
        """What ``docker_host`` is for it."""
        return f"ssh://root@127.0.0.1:{self.port}"


@dataclass(frozen=True)
class SshClient:
    """The ``ssh`` command of one test, with a configuration of its own."""

    config: Path

    def configure(self, keys: Path, *options: str, key: str = "good") -> None:
        """Write the configuration anew."""
        lines = [CLIENT_OPTIONS.format(keys=keys), f"IdentityFile {keys}/{key}", *options]
        self.config.write_text("\n".join(lines))

    def processes(self) -> list[int]:
        """Return the numbers of all ssh processes that live."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                # It has ended meanwhile.
                continue
            # One that was started by `exec` of the script, or by itself to keep a connection.
            if os.fsencode(self.config) in words or os.fsencode(self.config.parent) in words[0]:
                found.append(int(folder.name))
        return found

    def kill(self) -> None:
        """Kill all that live, and return when their parents can see that they have ended.

        A process that ends loses its command line, then closes its files, and only then is over.
        """
        for pid in self.processes():
            watch = os.pidfd_open(pid)
            try:
                os.kill(pid, signal.SIGKILL)
                ended, _, _ = select.select([watch], [], [], END_SECONDS)
                assert ended, f"ssh process {pid} still runs {END_SECONDS:g} s after SIGKILL"
            finally:
                os.close(watch)


def refuse(reason: str) -> None:
    """Skip the test, or fail it where the Docker tests are required."""
    if os.environ.get(REQUIRE_VARIABLE) == "1":
        pytest.fail(f"{reason}, and {REQUIRE_VARIABLE}=1", pytrace=False)
    pytest.skip(reason)


def make_keys(folder: Path, port: int) -> None:
    """Make a key for the host, one that it takes, and one that it does not."""
    for name in ("host", "good", "bad"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],
            check=True,
            timeout=60,
        )
    (folder / "known_hosts").write_text(
        f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text(encoding='utf-8')}"
    )


def run_host(base_image: str, folder: Path, name: str) -> Iterator[SshHost]:
    """Run an ssh host as long as the generator is held."""
    for program in ("ssh", "ssh-keygen"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program!r} here (the package openssh-client has it)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    make_keys(folder, port)
    server = ["/usr/sbin/sshd", "-D", "-e", "-p", str(port), "-h", "/keys/host"]
    options = [word for option in SERVER_OPTIONS for word in ("-o", option)]
    docker(
        *("run", "--detach", "--init", f"--name={name}", "--network=host"),
        f"--volume={folder}:/keys:ro",
        f"--volume={shutil.which('docker')}:/usr/bin/docker:ro",
        "--volume=/var/run/docker.sock:/var/run/docker.sock",
        *(base_image, "sh", "-c", 'mkdir -p /run/sshd && exec "$@"', "sh", *server, *options),
    )
    try:
        works = ["docker", "exec", name, "docker", "version"]
        asked = subprocess.run(works, capture_output=True, text=True, timeout=60, check=False)
        if asked.returncode != 0:
            refuse(f"this machine's docker command does not run in {base_image}: {asked.stderr}")
        wait_for("the ssh server", _greets(port))
        yield SshHost(port, folder)
    finally:
        docker("rm", "--force", name)


def _greets(port: int) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5.0) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    return ask


def client(folder: Path) -> SshClient:
    """Write an ``ssh`` command into a folder ``bin``, which must be put on PATH."""
    made = SshClient(folder / "bin" / "config")
    made.config.parent.mkdir()
    program = made.config.parent / "ssh"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {made.config} "$@"\n')
    program.chmod(0o755)
    return made
