"""What a process is given: environment, secrets, working directory, port; and its logs."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from local_process_parts import (
    TinyContainer,
    environment_of,
    pid_of,
    session,
    some_port,
    wait_for,
)

from dockerparallel import (
    DockerCluster,
    ExternalServer,
    InvalidTypeError,
    InvalidValueError,
    ProviderError,
)
from dockerparallel_local_process_provider import LocalProcessProvider
from dockerparallel_local_process_provider.ports import claim_port

Make = Callable[..., DockerCluster]

# Prints, as JSON, what the program finds when it starts.
INSPECT = """
import json, os, time
from dockerparallel.environment import read_secret
print(json.dumps({
    "secret": read_secret("TINY_PASSWORD"), "cwd": os.getcwd(), "stdin": os.read(0, 9).decode(),
    "environment": dict(os.environ)
}), flush=True)
time.sleep(600)
"""


def found_by(cluster: DockerCluster, handle: str = "worker-1") -> dict[str, str]:
    text = wait_for("the program to tell", lambda: cluster.cloud_provider.logs(handle).strip())
    found: dict[str, str] = json.loads(text)
    return found


def test_secrets_arrive_and_nobody_can_list_them(make_cluster: Make) -> None:
    container = TinyContainer(program=INSPECT, secrets={"TOKEN": "user-secret-1"})
    cluster = make_cluster(container)
    cluster.start()
    password = cluster.config.server_password
    assert found_by(cluster)["secret"] == password
    for handle in ("server", "worker-1"):
        folder = Path(f"/proc/{pid_of(cluster, handle)}")
        shown = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
        assert password.encode() not in shown
        assert b"user-secret-1" not in shown
    secrets = Path(environment_of(pid_of(cluster, "worker-1"))["DOCKERPARALLEL_SECRETS_DIR"])
    assert (secrets / "TOKEN").read_text(encoding="utf-8") == "user-secret-1"


def test_all_files_are_for_this_user_alone(make_cluster: Make, runtime: Path) -> None:
    os.umask(before := os.umask(0))
    try:
        os.umask(0)
        cluster = make_cluster()
        cluster.start()
    finally:
        os.umask(before)
    paths = list((runtime / "dockerparallel").rglob("*"))
    modes = {stat.S_IMODE(p.stat().st_mode) for p in paths if p.is_file()}
    assert modes == {0o600}
    folders = [runtime / "dockerparallel", *(p for p in paths if p.is_dir())]
    assert {stat.S_IMODE(p.stat().st_mode) for p in folders} == {0o700}
    assert (runtime / "dockerparallel/local-process/DockerParallelQueue/state.json") in paths


def test_secrets_go_with_their_process(make_cluster: Make) -> None:
    cluster = make_cluster(worker_number=2)
    cluster.start()
    folder = Path(environment_of(pid_of(cluster, "worker-2"))["DOCKERPARALLEL_SECRETS_DIR"])
    assert list(folder.iterdir())
    cluster.set_worker_number(1)
    assert not folder.exists()


def test_a_variable_of_this_session_does_not_hide_a_secret(
    make_cluster: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_PASSWORD", "of another program")
    cluster = make_cluster(TinyContainer(program=INSPECT))
    cluster.start()
    assert found_by(cluster)["secret"] == cluster.config.server_password


def test_a_secret_that_cannot_be_a_file_is_refused(make_cluster: Make) -> None:
    cluster = make_cluster()
    # The core refuses such a name of the user's; one that a container adds comes as far as here.
    cluster.start_server()
    container = TinyContainer(command=["python", "-c", ""], secrets={"../outside": "x"})
    with pytest.raises(InvalidValueError, match=r"'\.\./outside', which no file can have"):
        cluster.state.provider.run_worker_containers(  # type: ignore[attr-defined]
            cluster, container, cluster.config.worker_hardware, 1
        )


def test_the_environment_reaches_the_process_and_the_container_stays(
    make_cluster: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_THE_SESSION", "session")
    monkeypatch.setenv("SET_BY_BOTH", "session")
    monkeypatch.setenv("DOCKERPARALLEL_OF_AN_OUTER_CLUSTER", "outer")
    container = TinyContainer(program=INSPECT, environment={"SET_BY_BOTH": "container"})
    before = container.static_data()
    cluster = make_cluster(container)
    cluster.start()
    environment = environment_of(pid_of(cluster, "worker-1"))
    assert environment["FROM_THE_SESSION"] == "session"
    assert environment["SET_BY_BOTH"] == "container"
    assert environment["DOCKERPARALLEL_BIND_ADDRESS"] == "127.0.0.1"
    assert environment["DOCKERPARALLEL_CLUSTER_ID"]
    assert "DOCKERPARALLEL_OF_AN_OUTER_CLUSTER" not in environment
    assert container.static_data() == before
    found_by(cluster)


def test_processes_work_in_a_folder_of_the_cluster(make_cluster: Make, runtime: Path) -> None:
    cluster = make_cluster(TinyContainer(program=INSPECT))
    cluster.start()
    found = found_by(cluster)
    assert Path(found["cwd"]).is_relative_to(runtime)
    assert found["stdin"] == ""
    packages = environment_of(pid_of(cluster, "worker-1"))["DOCKERPARALLEL_PACKAGES_DIR"]
    assert Path(packages).is_dir()
    assert Path(packages).is_relative_to(runtime)


def test_python_is_the_one_of_this_session(make_cluster: Make) -> None:
    cluster = make_cluster()
    cluster.start()
    for handle in ("server", "worker-1"):
        line = Path(f"/proc/{pid_of(cluster, handle)}/cmdline").read_text(encoding="utf-8")
        assert line.split("\0")[0] == sys.executable


def test_a_port_that_is_taken_is_passed_over(make_cluster: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        cluster = make_cluster()
        cluster.config.server_port = taken
        cluster.start()
        port = cluster.config.server_port
        assert port != taken
        assert cluster.runtime.server_public_port == port
        assert cluster.runtime.server_private_port == port
        assert environment_of(pid_of(cluster, "server"))["PORT"] == str(port)
        assert environment_of(pid_of(cluster, "worker-1"))["SERVER"] == f"127.0.0.1:{port}"
        assert cluster.cloud_provider.logs("server") == f"listening on {port}\n"


def test_a_server_that_is_not_ours_does_not_count_as_ours(make_cluster: Make) -> None:
    # Somebody takes the port after it was found free: here the server itself never listens.
    cluster = make_cluster(TinyContainer(server_program="import time; time.sleep(600)"))
    cluster.start_server()
    with socket.create_server(("127.0.0.1", cluster.config.server_port)):
        provider = cluster.state.provider
        assert provider.server_status(cluster) == "initializing"


def test_two_clusters_stand_side_by_side(make_cluster: Make) -> None:
    first, second = make_cluster(job_queue_name="one"), make_cluster(job_queue_name="two")
    second.config.server_port = first.config.server_port
    first.start_server()
    # Its server need not listen yet: the port is its own from the start.
    second.start_server()
    assert first.config.server_port != second.config.server_port
    first.start()
    second.start()
    survivor = pid_of(second, "worker-1")
    first.stop()
    assert second.worker_numbers().running == 1
    assert pid_of(second, "worker-1") == survivor


STARTER = """
import sys
from dockerparallel import DockerCluster
from local_process_parts import TinyContainer
cluster = DockerCluster(provider="local-process", worker_container=TinyContainer(),
                        job_queue_name=sys.argv[1], verbose=0)
cluster.config.server_port = int(sys.argv[2])
with cluster:
    print(cluster.config.server_port, flush=True)
    sys.stdin.readline()
"""


def test_sessions_that_start_at_once_choose_different_ports() -> None:
    wanted = str(some_port())
    sessions = [session(STARTER, f"cluster-{number}", wanted) for number in range(4)]
    ports = [process.stdout.readline().strip() for process in sessions if process.stdout]
    outcomes = [process.communicate("\n", timeout=60)[1] for process in sessions]
    assert [process.returncode for process in sessions] == [0] * 4, outcomes
    assert len(set(ports)) == 4


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"cannot listen on 192\.0\.2\.1 port 8888"):
        claim_port("192.0.2.1", 8888, set())


def test_ports_run_out() -> None:
    with pytest.raises(ProviderError, match="No port from 65534 to 65535 is free"):
        claim_port("127.0.0.1", 65534, {65534, 65535})


def test_sessions_with_other_runtime_folders_do_not_choose_the_same_port() -> None:
    wanted = some_port()
    first = claim_port("127.0.0.1", wanted, set())
    # Nobody listens yet: only the claim tells.
    second = claim_port("127.0.0.1", first.port, set())
    assert first.port < second.port
    first.release()
    third = claim_port("127.0.0.1", first.port, set())
    assert third.port == first.port
    second.release()
    third.release()


def test_an_external_server_is_left_alone(make_cluster: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        external = ExternalServer(public_ip="127.0.0.1", public_port=port, password="theirs")
        cluster = make_cluster(private_server=external, worker_number=2)
        cluster.start()
        assert set(cluster.cloud_provider.log_files()) == {"worker-1", "worker-2"}
        assert environment_of(pid_of(cluster, "worker-1"))["SERVER"] == f"127.0.0.1:{port}"
        cluster.stop()
        assert cluster.worker_numbers().running == 0


def test_logs_are_read_back(make_cluster: Make) -> None:
    program = "print('a\\nb\\nc', flush=True); import time; time.sleep(600)"
    cluster = make_cluster(TinyContainer(program=program))
    cluster.start()
    view = cluster.cloud_provider
    wait_for("the worker to print", lambda: view.logs("worker-1") == "a\nb\nc\n")
    assert view.logs("worker-1", lines=2) == "b\nc\n"
    wait_for("the server to print", lambda: view.logs("server"))
    assert view.logs(lines=1).startswith("==> server <==\nlistening on")
    assert "==> worker-1 <==\nc\n" in view.logs(lines=1)
    assert view.log_files()["server"].read_text(encoding="utf-8") == view.logs("server")
    with pytest.raises(InvalidValueError, match=r"no log 'worker-9'\. There are: server, worker-1"):
        view.logs("worker-9")
    with pytest.raises(InvalidValueError, match="lines must be at least 1"):
        view.logs(lines=0)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"host": "0.0.0.0"}, InvalidValueError, "no address to connect to"),  # noqa: S104
        ({"host": ""}, InvalidValueError, "host must not be empty"),
        ({"host": None}, InvalidTypeError, "host must be a string"),
        ({"stop_timeout": 0}, InvalidValueError, "stop_timeout must be above 0"),
        ({"lock_timeout": "1"}, InvalidTypeError, "lock_timeout must be a number of seconds"),
    ],
)
def test_wrong_arguments_are_refused(
    options: dict[str, object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        LocalProcessProvider(**options)  # type: ignore[arg-type]
