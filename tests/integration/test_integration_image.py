"""The real image: what it says of itself, who runs in it, and its check of health."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from integration_image_task import SECRETS_FOLDER, who_am_i

from dockerparallel import DockerCluster, DockerContainer, ExternalServer
from dockerparallel.environment import SECRETS_DIR_VARIABLE
from dockerparallel_redis_queue_container import (
    RedisQueueServerContainer,
    RedisQueueWorkerContainer,
    WorkerDiedError,
)
from dockerparallel_redis_queue_container.image_build import BUILD_LABEL
from dockerparallel_redis_queue_container.settings import PASSWORD
from tools import base_image, test_image

# Making the base image included.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

HEALTHCHECK = ("python", "-I", "-S", "/opt/dockerparallel/healthcheck.py")
PORT = 8888
MOST_MEBIBYTES = 40
LIST_WHEELS = "find / -xdev -name '*.whl' -o -xdev -path '*/.cache/pip'"

Start = Callable[..., str]


def docker(*arguments: str, check: bool = True, **options: Any) -> str:
    """Run the docker command and return what it wrote, both kinds together."""
    done = subprocess.run(
        ["docker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
        **options,
    )
    output: str = done.stdout.decode(errors="replace").strip()
    assert done.returncode == 0 or not check, f"docker {' '.join(arguments)}: {output}"
    return output


def inspect(kind: str, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker(kind, "inspect", name))
    return found[0]


def exit_code(container: str, *command: str) -> tuple[int, str]:
    done = subprocess.run(
        ["docker", "exec", container, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def users(container: str) -> dict[str, int]:
    """Return the user id of each program that runs in a container."""
    listed = docker("top", container, "-eo", "pid,uid,comm").splitlines()[1:]
    return {line.split()[2]: int(line.split()[1]) for line in listed}


def packed(files: dict[str, bytes], mode: int, folder: str = SECRETS_FOLDER) -> bytes:
    """Pack files of root into an archive, as a provider hands them over."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(folder.lstrip("/"))
        entry.type, entry.mode = tarfile.DIRTYPE, mode | 0o300
        archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{folder.lstrip('/')}/{name}")
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def start() -> Iterator[Start]:
    """Run what a container describes, and remove it after the test."""
    made = []

    def run(container: DockerContainer, *options: str, files: bytes | None = None) -> str:
        environment = {**container.environment, SECRETS_DIR_VARIABLE: SECRETS_FOLDER}
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        command = [container.image, *(container.command or ())]
        made.append(docker("create", *options, *variables, *command))
        secrets = {name: text.encode() for name, text in container.secrets.items()}
        for archive in filter(None, (packed(secrets, 0o400), files)):
            docker("cp", "-", f"{made[-1]}:/", input=archive)
        docker("start", made[-1])
        return made[-1]

    yield run
    for container in made:
        docker("rm", "--force", "--volumes", container)


@pytest.fixture
def server(
    redis_queue_image: str, start: Start, eventually: Callable[..., Any]
) -> tuple[str, ExternalServer]:
    """Run the server in the image; give its container, and its addresses."""
    container = RedisQueueServerContainer(
        image=redis_queue_image,
        environment={"DOCKERPARALLEL_REDIS_PORT": str(PORT)},
        secrets={PASSWORD: "the password"},
    )
    made = start(container, f"--publish=127.0.0.1::{PORT}")
    port = int(docker("port", made, str(PORT)).splitlines()[0].rpartition(":")[2])
    found = ExternalServer(
        public_ip="127.0.0.1",
        public_port=port,
        private_ip=inspect("container", made)["NetworkSettings"]["IPAddress"],
        private_port=PORT,
        password="the password",
        server_worker_same_lan=True,
    )

    def answers() -> bool:
        with contextlib.suppress(redis.ConnectionError), connected(found, "the password") as client:
            return bool(client.ping())
        return False

    eventually(answers, "the server answers")
    return made, found


def connected(server: ExternalServer, password: str | None) -> redis.Redis:
    return redis.Redis(host="127.0.0.1", port=server.public_port or 0, password=password)


Workers = Callable[..., tuple[DockerCluster, str]]


@pytest.fixture
def workers(
    server: tuple[str, ExternalServer],
    redis_queue_image: str,
    start: Start,
    make_cluster: Callable[..., DockerCluster],
    eventually: Callable[..., Any],
) -> Workers:
    """Start a worker in the image for the cluster that it gives."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if test_image.python_of(redis_queue_image) != python:
        pytest.skip(f"the image has another Python than this one ({python})")

    def run(
        container: RedisQueueWorkerContainer, *options: str, files: bytes | None = None
    ) -> tuple[DockerCluster, str]:
        container.image = redis_queue_image
        cluster = make_cluster(
            worker_container=container, private_server=server[1], worker_number=0
        )
        cluster.start()
        made = start(cluster.external_worker(), *options, files=files)

        def ready() -> bool:
            assert inspect("container", made)["State"]["Running"], docker("logs", made)
            return bool(cluster.worker_container.stats()["workers"])

        eventually(ready, "the worker is there")
        return cluster, made

    return run


def test_it_says_what_it_is(redis_queue_image: str) -> None:
    config = inspect("image", redis_queue_image)["Config"]
    labels = config["Labels"]
    assert labels["dockerparallel.image"] == "redis-queue"
    assert labels["dockerparallel.python"].startswith("3.")
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.title"] == "DockerParallel redis-queue"
    assert labels["org.opencontainers.image.version"]
    assert BUILD_LABEL not in labels
    assert config["Entrypoint"] == ["tini", "-s", "--"]
    assert config["Healthcheck"]["Test"] == ["CMD", *HEALTHCHECK]
    assert "DOCKERPARALLEL_RUN_AS=dockerparallel" in config["Env"]


def test_it_adds_little_to_the_base_and_no_wheel(redis_queue_image: str) -> None:
    base = base_image.ensure()
    size, below = (inspect("image", name)["Size"] / 2**20 for name in (redis_queue_image, base))
    assert size - below < MOST_MEBIBYTES, f"{size:.1f} MiB on a base of {below:.1f} MiB"
    listed = [
        docker("run", "--rm", "--entrypoint=sh", image, "-c", LIST_WHEELS)
        for image in (redis_queue_image, base)
    ]
    assert listed[0] == listed[1]


def test_building_it_leaves_no_image_without_a_name(redis_queue_image: str) -> None:
    command = [sys.executable, "-m", "dockerparallel_redis_queue_container", "build-image"]
    base = base_image.ensure()
    done = subprocess.run(
        [*command, "--tag", f"{redis_queue_image}-x", "--base", base, "--python", "3.99"],
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert "The base image has Python 3." in done.stdout
    assert "the image is to have 3.99: choose another base" in done.stdout
    assert "docker build ended with exit code 1" in done.stdout
    (build_id,) = re.findall(r"BUILD_ID=([0-9a-f]{16})\b", done.stdout)
    left = f"label={BUILD_LABEL}={build_id}"
    assert docker("image", "ls", "--all", "--quiet", "--filter", left) == ""
    assert docker("image", "ls", "--quiet", f"{redis_queue_image}-x") == ""


def test_the_server_runs_unprivileged_and_protected(server: tuple[str, ExternalServer]) -> None:
    container, address = server
    found = users(container)
    assert found.pop("tini") == 0
    assert list(found.values()) == [1000]
    with connected(address, None) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_the_server_tells_its_health(
    server: tuple[str, ExternalServer], redis_queue_image: str, start: Start
) -> None:
    assert exit_code(server[0], *HEALTHCHECK) == (0, "")
    dead = RedisQueueServerContainer(
        image=redis_queue_image,
        environment={"DOCKERPARALLEL_REDIS_PORT": str(PORT)},
        command=["sleep", "600"],
    )
    code, said = exit_code(start(dead), *HEALTHCHECK)
    assert code == 1
    assert f"127.0.0.1:{PORT} does not answer" in said


def test_the_workers_tell_their_health(workers: Workers, start: Start) -> None:
    cluster, container = workers(RedisQueueWorkerContainer())
    assert exit_code(container, *HEALTHCHECK) == (0, "")
    dead = cluster.external_worker()
    dead.command = ["sleep", "600"]
    code, said = exit_code(start(dead), *HEALTHCHECK)
    assert code == 1
    assert "have not reached the server yet" in said


def test_tasks_run_unprivileged_with_their_secrets(workers: Workers) -> None:
    container = RedisQueueWorkerContainer(secrets={"MINE": "a token"})
    cluster, made = workers(container)
    with cluster.worker_container.executor() as executor:
        assert executor.submit(who_am_i).result(60) == {
            "users": (1000, 1000, 1000),
            "home": "/home/dockerparallel",
            "folder": "/home/dockerparallel",
            "writes": True,
            "secret": "a token",
            "password": "not for me",
            "changed": False,
            "first to be killed": "500",
            "threads": "1",
        }
    assert "the password" not in docker("logs", made)


def test_packages_are_installed_by_root_before(workers: Workers) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        about = "dp_sample-1.0.dist-info"
        wheel.writestr("dp_sample.py", "ANSWER = 42\n")
        wheel.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: dp-sample\nVersion: 1.0\n"
        )
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    files = packed({"dp_sample-1.0-py3-none-any.whl": buffer.getvalue()}, 0o444, "/wheels")
    container = RedisQueueWorkerContainer(
        environment={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"},
        pip_packages=["dp-sample"],
    )
    cluster, _ = workers(container, files=files)
    with cluster.worker_container.executor() as executor:
        assert executor.submit(eval, "__import__('dp_sample').ANSWER").result(60) == 42


def test_a_worker_that_needs_too_much_memory_says_so(workers: Workers) -> None:
    container = RedisQueueWorkerContainer(environment={"DOCKERPARALLEL_MAX_ATTEMPTS": "1"})
    cluster, made = workers(container, "--memory=128m", "--memory-swap=128m")
    with cluster.worker_container.executor() as executor:
        with pytest.raises(WorkerDiedError, match="memory limit of 128 MiB") as caught:
            executor.submit(bytearray, 2**30).result(60)
        assert caught.value.memory_limit == 128 * 2**20
        # The supervisor lives, and has started another worker.
        assert executor.submit(pow, 2, 10).result(60) == 1024
    assert "died: SIGKILL, because the container went over its memory limit" in docker("logs", made)
