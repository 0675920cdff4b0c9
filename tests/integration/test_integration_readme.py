"""What the README promises: its example runs, its commands are the real ones, its names exist."""

from __future__ import annotations

import re
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import pytest

import dockerparallel
import dockerparallel_managed_provider
from dockerparallel import DockerCluster

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

CONFIG = (
    "JobQueueName ExpectedWorkerNumber WorkerHardware ServerHardware ServerWorkerSameLAN "
    "ServerClientSameLAN ServerPassword ServerPort"
).split()
RUNTIME = (
    "ServerFromOtherSource ServerPrivateIp ServerPrivatePort ServerPublicIp ServerPublicPort"
).split()
OBJECTS = "CloudProvider CloudConfig ServerContainer WorkerContainer CloudRuntime".split()
R_ACCESSORS = {f".get{name}" for name in OBJECTS + CONFIG + RUNTIME} | {
    f".set{name}" for name in CONFIG + RUNTIME
}
R_GENERICS = set(
    """
    initializeCloudProvider runDockerServer stopDockerServer getServerStatus getDockerServerIp
    setDockerWorkerNumber getDockerWorkerNumbers dockerClusterExists reconnectDockerCluster
    cleanupDockerCluster configServerContainerEnv configWorkerContainerEnv registerParallelBackend
    deregisterParallelBackend getServerContainer getExportedNames getExportedObject
    getDockerStaticData setDockerStaticData runDockerWorkerContainers getDockerWorkerStatus
    IsDockerWorkerInitializing IsDockerWorkerRunning IsDockerWorkerStopped
    killDockerWorkerContainers addManagedWorkerHandles getManagedWorkerHandles
    """.split()
)


def names_table() -> dict[str, list[str]]:
    """Return the table of the README's last section: R names, each with its Python names."""
    section = README.split("## Names for those who know the R packages")[1]
    rows = re.findall(r"^\| (`.*?) \| (`.*?) \|$", section, flags=re.MULTILINE)
    return {
        r_name: re.findall(r"`([^`]+)`", python)
        for r_names, python in rows
        for r_name in re.findall(r"`([^`]+)`", r_names)
    }


@pytest.fixture(scope="module")
def cluster() -> DockerCluster:
    return DockerCluster(provider="local-process", worker_container="redis-queue")


def test_every_name_of_the_r_packages_is_in_the_table() -> None:
    assert set(names_table()) == R_GENERICS | R_ACCESSORS | {"DockerCluster$startCluster"}


@pytest.mark.parametrize(
    "name", sorted({name for names in names_table().values() for name in names})
)
def test_each_python_name_of_the_table_exists(name: str, cluster: DockerCluster) -> None:
    owner, _, attribute = name.partition(".")
    owners = {**vars(dockerparallel), **vars(dockerparallel_managed_provider), "cluster": cluster}
    # attrgetter raises AttributeError for a name that does not exist.
    attrgetter(attribute)(owners[owner])


EXAMPLES = {
    "README.md": r"pi is about 3\.1\d+\none more: 3\.1\d+\n",
    "packages/core/README.md": r"\[0, 1, 4, .*, 81\]\nWorkerNumbers\(.*, expected=4\)\n",
    "packages/local-process-provider/README.md": r"WorkerNumbers\(.*\n==> server <==\n(.*\n)+",
    "packages/redis-queue-container/README.md": r"\[0, 1, 4, .*, 81\]\n1024\n",
}


@pytest.mark.parametrize(("file", "output"), EXAMPLES.items(), ids=EXAMPLES)
def test_the_example_runs(file: str, output: str, tmp_path: Path) -> None:
    example, *_ = re.findall(
        r"```python\n(.*?)```", (ROOT / file).read_text("utf-8"), flags=re.DOTALL
    )
    script = tmp_path / "example.py"
    script.write_text(example, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(output, done.stdout), done.stdout


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_the_example_in_containers_runs(tmp_path: Path) -> None:
    text = (ROOT / "packages/local-docker-provider/README.md").read_text("utf-8")
    example, *_ = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(example, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tools.with_own_image", sys.executable, "-W", "error", str(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\[0, 1, 4, .*, 81\]\n.*Ready to accept connections", done.stdout, re.DOTALL)
    assert "building it" in done.stderr


def test_each_package_has_the_licence_of_the_root() -> None:
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    folders = [file.parent for file in ROOT.glob("packages/*/pyproject.toml")]
    assert folders
    for folder in folders:
        assert (folder / "LICENSE").read_text(encoding="utf-8") == licence, folder
