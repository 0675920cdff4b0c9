"""The server's process starts, ends and cleans up, however it ends."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
from fargate_harness_account import Account, wait_for
from fargate_harness_engine import remains

from dockerparallel_fargate_harness import FargateHarness, HarnessError, HarnessStartError
from dockerparallel_fargate_harness.leftovers import LABEL, LABEL_OWNER, remove_leftovers
from dockerparallel_fargate_harness.process_identity import Owner, start_of

MODULE = [sys.executable, "-m", "dockerparallel_fargate_harness"]
SLEEP = ["python3", "-c", "import time; time.sleep(600)"]


def run(*words: str, timeout: float = 100.0) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [*MODULE, *words], capture_output=True, text=True, timeout=timeout, check=False
    )


def test_a_command_finds_the_harness_by_its_environment() -> None:
    program = (
        "import boto3, os, urllib.request\n"
        "from dockerparallel_fargate_harness import FargateHarness\n"
        "boto3.client('ecs').create_cluster(clusterName='c')\n"
        "harness = FargateHarness.attach(os.environ['DOCKERPARALLEL_FARGATE_HARNESS'])\n"
        "print(harness.client_address, harness.left()['clusters'], harness.identifier)\n"
        "url = os.environ['DOCKERPARALLEL_CHECKIP_URL']\n"
        "print(urllib.request.urlopen(url).read().decode().strip())\n"
        "raise SystemExit(5)"
    )
    words = ["run", "--no-containers", "--client-address=198.51.100.9"]
    ended = run(*words, "--", sys.executable, "-c", program)
    assert ended.returncode == 5, ended.stderr
    arn = "arn:aws:ecs:us-east-1:123456789012:cluster/c"
    assert ended.stdout.splitlines() == [f"198.51.100.9 ['{arn}'] ", "198.51.100.9"]
    assert ended.stderr == ""


def test_a_command_that_leaves_tasks_is_told() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import os\n"
        "from dockerparallel_fargate_harness import FargateHarness\n"
        "from fargate_harness_account import Account\n"
        "harness = FargateHarness.attach(os.environ['DOCKERPARALLEL_FARGATE_HARNESS'])\n"
        "print(Account(harness).start())"
    )
    folder = str(Path(__file__).parent)
    ended = run("run", "--no-containers", "--", sys.executable, "-c", program, folder)
    assert ended.returncode == 0, ended.stderr
    assert f"tasks: {ended.stdout.strip()}" in ended.stderr


def test_a_command_that_cannot_be_run_is_127() -> None:
    ended = run("run", "--no-containers", "--", "/none")
    assert ended.returncode == 127
    assert "cannot run /none" in ended.stderr


def test_the_harness_answers_the_address_of_the_client(harness: FargateHarness) -> None:
    with urllib.request.urlopen(harness.checkip_url, timeout=30) as response:  # noqa: S310
        assert response.headers["Content-Type"] == "text/plain"
        assert response.read() == b"203.0.113.7\n"


def test_a_harness_that_is_not_running_says_so() -> None:
    with pytest.raises(HarnessError, match="is not running"):
        FargateHarness().client("ecs")
    with pytest.raises(HarnessError, match="does not answer"):
        FargateHarness.attach("http://127.0.0.1:9")


def test_a_harness_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///none.sock")
    with pytest.raises(HarnessStartError, match="status 1"):
        FargateHarness().start()
    with pytest.raises(HarnessStartError, match=r"not ready within 0.01 s"):
        FargateHarness(containers=False, start_timeout=0.01).start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_in_order(number: signal.Signals) -> None:
    with subprocess.Popen(
        [*MODULE, "--no-containers"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["pid"] == process.pid
        process.send_signal(number)
        assert process.wait(30) == 0


def test_the_server_ends_when_its_stdin_is_closed() -> None:
    with subprocess.Popen(
        [*MODULE, "--no-containers", "--watch-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.close()
        assert process.wait(30) == 0


def test_the_server_ends_with_its_parent() -> None:
    program = (
        "import os, signal\n"
        "from dockerparallel_fargate_harness import FargateHarness\n"
        "harness = FargateHarness(containers=False)\n"
        "harness.start()\n"
        "print(harness.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    pid = int(ended.stdout)
    wait_for(lambda: start_of(pid) is None)


def test_a_process_is_told_apart_from_a_later_one() -> None:
    mine = Owner.current()
    assert not mine.surely_dead()
    assert Owner.parse(str(mine)) == mine
    earlier = Owner(mine.host, mine.namespace, mine.pid, mine.started - 1)
    assert earlier.surely_dead()
    elsewhere = Owner("other", mine.namespace, mine.pid, mine.started - 1)
    assert not elsewhere.surely_dead()
    assert Owner.parse("what is this") is None


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_leaving_a_harness_removes_its_containers(
    base_image: str, engine: docker.DockerClient
) -> None:
    with FargateHarness() as harness:
        account = Account(harness, base_image)
        container = account.container(command=SLEEP)
        account.run(account.register(containerDefinitions=[container]), count=2)
        wait_for(lambda: all(task.status == "RUNNING" for task in harness.tasks()))
        label = f"{LABEL}={harness.identifier}"
        assert len(remains(engine, label)) == 4
    assert not remains(engine, label)


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_a_new_harness_removes_what_a_killed_one_left(
    base_image: str, engine: docker.DockerClient
) -> None:
    killed = FargateHarness()
    killed.start()
    account = Account(killed, base_image)
    arn = account.start(account.register(containerDefinitions=[account.container(command=SLEEP)]))
    account.reaches(arn, "RUNNING")
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    label = f"{LABEL}={killed.identifier}"
    killed.close()
    assert len(remains(engine, label)) == 2
    with FargateHarness():
        assert not remains(engine, label)


@pytest.fixture
def left_by_a_dead(base_image: str, engine: docker.DockerClient) -> Iterator[str]:
    """Give the label of two containers on a network whose harness is dead."""
    me = Owner.current()
    dead = Owner(me.host, me.namespace, me.pid, me.started - 1)
    name = f"fargate-left-{secrets.token_hex(4)}"
    labels = {LABEL: name, LABEL_OWNER: str(dead)}
    engine.networks.create(name, labels=labels)
    for _ in range(2):
        engine.containers.run(base_image, SLEEP, detach=True, network=name, labels=labels)
    yield f"{LABEL}={name}"
    remove_leftovers(engine)


@pytest.mark.docker
@pytest.mark.timeout(300)
@pytest.mark.parametrize("attempt", range(3))
def test_harnesses_that_start_at_once_all_remove_what_is_left(
    left_by_a_dead: str, engine: docker.DockerClient, attempt: int
) -> None:
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(remove_leftovers, engine) for _ in range(3)]:
            done.result()
    assert not remains(engine, left_by_a_dead)


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_a_network_that_somebody_else_uses_is_told_and_left(
    left_by_a_dead: str,
    engine: docker.DockerClient,
    base_image: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = left_by_a_dead.partition("=")[2]
    foreign = engine.containers.run(base_image, SLEEP, detach=True, network=network)
    try:
        remove_leftovers(engine)
        told = capsys.readouterr().err
        assert f"has left the network {network}, which" in told
        assert "active endpoints" in told
    finally:
        foreign.remove(force=True, v=True)
    remove_leftovers(engine)
    assert not remains(engine, left_by_a_dead)
