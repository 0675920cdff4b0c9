"""An engine on another machine, reached by ssh: a real ssh server that shares this engine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_docker_parts import docker, run_session, session, wait_for
from local_docker_ssh import SshClient, SshHost, client, run_host

from dockerparallel import DockerCluster, ProviderError
from dockerparallel_local_docker_provider import ForwardError, LocalDockerProvider, __main__
from dockerparallel_local_docker_provider.connection import EngineConnection, EngineOptions

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

Make = Callable[..., DockerCluster]


@pytest.fixture(scope="module")
def host(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    folder = tmp_path_factory.mktemp("keys")
    yield from run_host(base_image, folder, f"dpt-sshd-{os.getpid()}-{folder.stat().st_ino}")


@pytest.fixture
def ssh(host: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshClient]:
    """Give the ``ssh`` command that this process and its children use."""
    made = client(tmp_path)
    made.configure(host.keys)
    monkeypatch.setenv("PATH", f"{made.config.parent}{os.pathsep}{os.environ['PATH']}")
    yield made
    try:
        wait_for("the end of all ssh processes", lambda: not made.processes())
    finally:
        for pid in made.processes():
            os.kill(pid, signal.SIGKILL)
    folder = Path(os.environ["XDG_RUNTIME_DIR"])
    assert not list(folder.glob("dockerparallel-ssh-*/engine.sock"))


def greeting(cluster: DockerCluster) -> bytes:
    """Return what the server says to who connects to its public address."""
    address = cluster.state.runtime.server_address
    assert address.public_ip is not None
    assert address.public_port is not None
    with socket.create_connection((address.public_ip, address.public_port), 30.0) as connection:
        return connection.recv(4)


def published_port(cluster: DockerCluster) -> int:
    """Return the port of the host on which the server is published."""
    return int(docker("port", cluster.cloud_provider.containers()["server"]).rpartition(":")[2])


SHARED = ("ControlMaster auto", "ControlPersist 120", "ControlPath {folder}/%C")


@pytest.mark.parametrize("options", [(), SHARED], ids=["plain", "shared connection"])
def test_a_cluster_on_an_ssh_host(
    host: SshHost, ssh: SshClient, make_cluster: Make, options: tuple[str, ...]
) -> None:
    folder = ssh.config.parent
    ssh.configure(host.keys, *(option.format(folder=folder) for option in options))
    cluster = make_cluster(provider=LocalDockerProvider(docker_host=host.url))
    cluster.start()
    address = cluster.state.runtime.server_address
    assert address.public_ip == "127.0.0.1"
    assert address.public_port != published_port(cluster)
    assert greeting(cluster) == b"tiny"
    assert cluster.worker_numbers().running == 1
    assert cluster.cloud_provider.logs("server").startswith("listening")
    # One for the engine and one for the server.
    assert len(ssh.processes()) == 2
    with pytest.raises(ProviderError, match="this machine is not known"):
        cluster.cloud_provider.host_address()
    cluster.stop()
    assert ssh.processes() == []


def test_the_environment_names_the_host(
    host: SshHost, ssh: SshClient, make_cluster: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host.url)
    # The docker command of the tests themselves still asks this machine's engine.
    cluster = make_cluster(provider=LocalDockerProvider())
    cluster.start()
    assert greeting(cluster) == b"tiny"
    other = make_cluster(provider=LocalDockerProvider())
    other.reconnect()
    assert other.config.server_password == cluster.config.server_password
    assert greeting(other) == b"tiny"
    cluster.stop()
    other.stop()


def test_what_ssh_has_lost_is_found_again(
    host: SshHost, ssh: SshClient, make_cluster: Make
) -> None:
    cluster = make_cluster(provider=LocalDockerProvider(docker_host=host.url))
    cluster.start()
    before = cluster.state.runtime.server_address
    ssh.kill()
    assert cluster.worker_numbers().running == 1
    assert cluster.is_server_running()
    # Whoever talks to the server knows its old address.
    assert cluster.state.runtime.server_address == before
    assert greeting(cluster) == b"tiny"
    cluster.stop()


KILLED = """
import sys, time
from local_docker_parts import TinyContainer
from dockerparallel import DockerCluster
from dockerparallel_local_docker_provider import LocalDockerProvider
cluster = DockerCluster(
    provider=LocalDockerProvider(docker_host=sys.argv[3]),
    worker_container=TinyContainer(sys.argv[2]), job_queue_name=sys.argv[1],
    worker_cpu=256, worker_memory=64, server_memory=64, verbose=0,
)
cluster.start()
print("runs", flush=True)
time.sleep(600)
"""


def test_a_killed_session_leaves_no_ssh(
    base_image: str, prefix: str, host: SshHost, ssh: SshClient
) -> None:
    with session(KILLED, prefix, base_image, host.url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        assert len(ssh.processes()) == 2
        process.send_signal(signal.SIGKILL)
    wait_for("the end of all ssh processes", lambda: not ssh.processes())
    folder = Path(os.environ["XDG_RUNTIME_DIR"])
    for left in folder.glob("dockerparallel-ssh-*/engine.sock"):
        # A killed process removes nothing; the folder is gone when the user logs out.
        left.unlink()
        left.parent.rmdir()
    assert __main__.main(["--host", host.url, "remove", prefix]) == 0


FORKED = """
import os, sys
from dockerparallel_local_docker_provider.connection import EngineConnection, EngineOptions
connection = EngineConnection(EngineOptions(sys.argv[1], None, 30.0, 1))
size = connection.engine.size()
child = os.fork()
if child == 0:
    assert connection.engine.size() == size
    connection.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
# A connection anew, by the socket that the child must have left alone.
connection._engine.close()
assert connection._tunnel.lives
assert connection.engine.size() == size
connection.close()
"""


def test_a_forked_child_leaves_its_parents_forward_alone(host: SshHost, ssh: SshClient) -> None:
    assert run_session(FORKED, host.url) == ""


def test_a_shell_on_an_ssh_host(
    host: SshHost, ssh: SshClient, make_cluster: Make, prefix: str
) -> None:
    cluster = make_cluster()
    cluster.start()
    command = [sys.executable, "-m", "dockerparallel_local_docker_provider", "--host", host.url]
    done = subprocess.run(
        [*command, "shell", prefix],
        input="hostname",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("server\n", 0), done.stderr


def connect(url: str) -> None:
    EngineConnection(EngineOptions(url, None, 30.0, 1)).engine.close()


def test_who_is_not_let_in_is_told(host: SshHost, ssh: SshClient) -> None:
    ssh.configure(host.keys, key="bad")
    with pytest.raises(ForwardError, match=r"Permission denied.*'ssh' logs in there without"):
        connect(host.url)


def test_a_host_that_is_not_known(host: SshHost, ssh: SshClient) -> None:
    (ssh.config.parent / "known_hosts").write_text("")
    ssh.configure(ssh.config.parent, f"IdentityFile {host.keys}/good")
    with pytest.raises(ForwardError, match="Host key verification failed"):
        connect(host.url)


def test_a_host_that_is_not_there(ssh: SshClient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"ssh://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ForwardError, match="Connection refused") as caught:
            connect(url)
    assert f"The Docker engine at {url} (docker_host=) cannot be used" in str(caught.value)
    assert isinstance(caught.value, ConnectionError)
