"""The build context of the image, and the command that builds it, with a stand-in for docker."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
from pathlib import Path

import pytest

from dockerparallel_redis_queue_container import (
    ImageBuildError,
    RedisQueueServerContainer,
    RedisQueueWorkerContainer,
)
from dockerparallel_redis_queue_container.__main__ import main
from dockerparallel_redis_queue_container.image_build import (
    BASE_IMAGE,
    CLIENT_PYTHON,
    DEFAULT_IMAGE,
    REPOSITORY,
    WHEELHOUSE,
    ImageBuild,
    is_ours,
)

OWN = ("dockerparallel", "dockerparallel_redis_queue_container")
DOCKER = """#!/bin/sh
for word; do printf '%s\\n' "$word"; done >> {log}
echo "---" >> {log}
[ "$1" = build ] || exit 0
{then}
"""


def wheel_name(distribution: str) -> str:
    version = importlib.metadata.version(distribution)
    return f"{distribution}-{version}-py3-none-any.whl"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (BASE_IMAGE, WHEELHOUSE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Make a folder with the wheels that nobody has to build."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    for name in (*map(wheel_name, OWN), "redis-6.0-py3-none-any.whl"):
        (folder / name).write_text(name)
    (folder / "notes.txt").write_text("no wheel")
    return folder


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


def default(dockerfile: str, name: str) -> set[str]:
    found = [line for line in dockerfile.splitlines() if line.startswith(f"ARG {name}=")]
    return {line.partition("=")[2] for line in found}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_base_is_the_official_image_of_the_clients_python(
    python: str, wheels: Path, context: Path
) -> None:
    arguments = ImageBuild(wheels=wheels, python=python).write(context)
    text = (context / "Dockerfile").read_text()
    assert default(text, "BASE_IMAGE") == {f"python:{python}-slim"}
    assert default(text, "PYTHON_VERSION") == {python}
    assert default(text, "VERSION") == {importlib.metadata.version(OWN[1])}
    assert arguments["BASE_IMAGE"] == f"python:{python}-slim"
    assert set(arguments) == {"BASE_IMAGE", "BUILD_ID"}


def test_two_builds_are_told_apart(wheels: Path) -> None:
    builds = [ImageBuild(wheels=wheels).arguments()["BUILD_ID"] for _ in range(2)]
    assert builds[0] != builds[1]


def test_wheels_are_all_that_is_installed_from(wheels: Path, context: Path) -> None:
    ImageBuild(base="my-base:1", wheels=wheels, packages=["numpy>=2"]).write(context)
    own = [f"./wheels/{wheel_name(name)}" for name in OWN]
    start = "--find-links ./wheels\n--no-index\n"
    assert (context / "requirements.txt").read_text() == (f"{start}{own[0]}\n{own[1]}\nnumpy>=2\n")
    assert (context / "requirements-embedded.txt").read_text() == (
        f"{start}{own[0]}\n{own[1]}[embedded]\nnumpy>=2\n"
    )
    copied = {path.name for path in (context / "wheels").iterdir()}
    assert copied == {path.name for path in wheels.glob("*.whl")}
    assert (context / "healthcheck.py").is_file()


def test_without_wheels_the_index_gives_what_is_installed_here(
    context: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_wheel(name: str, folder: Path, timeout: float) -> Path:
        path = folder / wheel_name(name.replace("-", "_"))
        path.touch()
        return path

    monkeypatch.setattr("dockerparallel_redis_queue_container.image_build.write_wheel", write_wheel)
    ImageBuild().write(context)
    redis = f"redis=={importlib.metadata.version('redis')}"
    assert redis in (context / "constraints.txt").read_text().splitlines()
    text = (context / "requirements.txt").read_text()
    assert "--constraint constraints.txt\n" in text
    assert "--no-index" not in text
    assert f"\n./wheels/{wheel_name(OWN[1])}\n" in text


@pytest.mark.parametrize("made", [True, False])
def test_a_folder_without_wheels_is_refused(made: bool, tmp_path: Path, context: Path) -> None:
    empty = tmp_path / "empty"
    if made:
        empty.mkdir()
    with pytest.raises(ImageBuildError, match=r"no wheels in .*empty: .*DOCKERPARALLEL_WHEELHOUSE"):
        ImageBuild(wheels=empty).write(context)


@pytest.mark.parametrize(
    ("image", "ours"),
    [
        (DEFAULT_IMAGE, True),
        (REPOSITORY, True),
        (f"{REPOSITORY}:mine", True),
        (f"{REPOSITORY}:0.0.1-py{CLIENT_PYTHON}", False),
        (f"{DEFAULT_IMAGE}9", False),
        (f"{REPOSITORY}@sha256:{'0' * 64}", False),
        (f"{REPOSITORY}-other:1", False),
        (f"somewhere.example/{REPOSITORY}:1", False),
        ("python:3.11", False),
    ],
)
def test_which_images_are_built_here(image: str, ours: bool) -> None:
    assert is_ours(image) == ours


@pytest.mark.parametrize("kind", [RedisQueueServerContainer, RedisQueueWorkerContainer])
def test_a_provider_gets_the_same_context(
    kind: type[RedisQueueServerContainer | RedisQueueWorkerContainer],
    wheels: Path,
    context: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert kind(image="python:3.11").write_build_context(context) is None
    assert list(context.iterdir()) == []
    monkeypatch.setenv(BASE_IMAGE, "my-base:1")
    monkeypatch.setenv(WHEELHOUSE, str(wheels))
    arguments = kind().write_build_context(context)
    assert arguments is not None
    assert arguments["BASE_IMAGE"] == "my-base:1"
    assert "--no-index\n" in (context / "requirements.txt").read_text()
    assert (context / "Dockerfile").is_file()


@pytest.fixture
def log(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the folder of the stand-in for docker be all of PATH but the system's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv(WHEELHOUSE, str(wheels))
    return tmp_path / "docker.log"


def stand_in(log: Path, then: str) -> None:
    program = log.parent / "bin" / "docker"
    program.write_text(DOCKER.format(log=shlex.quote(str(log)), then=then))
    program.chmod(0o755)


def calls(log: Path) -> list[list[str]]:
    return [part.split("\n") for part in log.read_text().rstrip("-\n").split("\n---\n")]


def test_the_command_builds_and_removes_what_the_build_leaves(log: Path) -> None:
    stand_in(log, 'for last; do :; done; ls "$last" >> ' + shlex.quote(f"{log}.files"))
    assert (
        main(["build-image", "--base", "my-base:1", "--tag", "my/image:2", "--label", "a=b"]) == 0
    )
    build, prune = calls(log)
    assert build[:3] == ["build", "--force-rm", "--tag=my/image:2"]
    assert "--build-arg=BASE_IMAGE=my-base:1" in build
    assert "--label=a=b" in build
    (build_id,) = [word.rpartition("=")[2] for word in build if "BUILD_ID" in word]
    assert prune == ["image", "prune", "--force", f"--filter=label=dockerparallel.build={build_id}"]
    assert "Dockerfile\n" in Path(f"{log}.files").read_text()
    assert not Path(build[-1]).exists()


def test_the_default_tag_is_the_containers_image(log: Path) -> None:
    stand_in(log, "")
    assert main(["build-image"]) == 0
    assert f"--tag={RedisQueueWorkerContainer().image}" in calls(log)[0]


def test_a_build_that_fails_is_told(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in(log, "exit 7")
    assert main(["build-image"]) == 1
    assert "docker build ended with exit code 7" in capsys.readouterr().err
    assert calls(log)[1][:2] == ["image", "prune"]


def test_a_build_that_takes_too_long_is_ended(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(log, f"echo $$ > {shlex.quote(f'{log}.pid')}; exec sleep 600")
    assert main(["build-image", "--timeout", "1"]) == 1
    assert "not built within 1 seconds: allow more by --timeout" in capsys.readouterr().err
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path(f"{log}.pid").read_text()), 0)


def test_without_docker_the_command_says_what_to_do(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(log.parent / "bin"))
    assert main(["build-image"]) == 1
    assert "no docker command on PATH: install Docker, or" in capsys.readouterr().err


def test_the_context_alone_can_be_written(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "context"
    assert main(["build-image", "--context", str(folder)]) == 0
    assert (folder / "Dockerfile").is_file()
    assert "Build the image by: docker build" in capsys.readouterr().err
    assert not log.exists()
    assert main(["build-image", "--context", str(folder)]) == 1
    assert "is there and not empty" in capsys.readouterr().err


@pytest.mark.parametrize("timeout", ["0", "-1", "x"])
def test_a_timeout_that_is_none_is_refused(
    timeout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["build-image", f"--timeout={timeout}"])
    assert "a number of seconds above 0" in capsys.readouterr().err
