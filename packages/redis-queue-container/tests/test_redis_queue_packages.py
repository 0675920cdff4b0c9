"""Installing packages: real pip, from an index that the test makes."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from redis_queue_harness import until

from dockerparallel import DockerParallelError
from dockerparallel_redis_queue_container import packages
from dockerparallel_redis_queue_container.errors import PackageInstallError
from dockerparallel_redis_queue_container.requirements import (
    check_pip_packages,
    check_system_packages,
    mask_credentials,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may install system packages")


def make_wheel(folder: Path, name: str, *, requires: str = "") -> None:
    folder.mkdir(exist_ok=True)
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    if requires:
        metadata += f"Requires-Dist: {requires}\n"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"NAME = {name!r}\n")
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a tiny index, named by the variables that a user would put into the environment."""
    folder = tmp_path / "index"
    make_wheel(folder, "dp_first", requires="dp-second")
    make_wheel(folder, "dp_second")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return folder


def imports(name: str) -> str:
    """Import a module in a process that is started now, as a worker's own children are."""
    code = f"import {name}; print({name}.__file__)"
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def test_nothing_to_install_touches_nothing(tmp_path: Path) -> None:
    path = list(sys.path)
    packages.install([], [], pip_folder=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert sys.path == path


def test_pip_packages_go_to_the_folder_and_are_importable(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    packages.install(["dp-first"], environ={**os.environ, packages.PACKAGES_DIR: str(folder)})
    import dp_first  # type: ignore[import-not-found]
    import dp_second  # type: ignore[import-not-found]

    assert Path(dp_first.__file__).is_relative_to(folder)
    assert Path(imports("dp_second")).is_relative_to(folder)
    assert dp_second.NAME == "dp_second"
    assert sys.path[0].startswith(str(folder))
    del sys.modules["dp_first"], sys.modules["dp_second"]


def test_a_list_is_installed_once_and_another_list_apart(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "packages"
    packages.install(["dp-second"], pip_folder=folder)
    first = {path.name for path in folder.iterdir()}
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    packages.install([" dp-second ", "dp-second"], pip_folder=folder)
    assert {path.name for path in folder.iterdir()} == first
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    packages.install(["dp-second==1.0"], pip_folder=folder)
    assert len(list(folder.iterdir())) == len(first) + 1


def test_several_supervisors_install_at_once(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    code = f"""
from pathlib import Path
from dockerparallel_redis_queue_container import packages
packages.install(["dp-first"], pip_folder=Path({str(folder)!r}), timeout=90)
import dp_first, dp_second
"""
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(90) for process in running] == [0, 0, 0]
    assert sorted(path.name for path in folder.iterdir() if not path.is_dir()) == [".lock"]
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1


def test_failure_shows_what_pip_said_and_leaves_nothing(
    index: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / "packages"
    with pytest.raises(PackageInstallError) as info:
        packages.install(["dp-first", "dp-nowhere>=2"], pip_folder=folder)
    text = str(info.value)
    assert text.startswith("pip could not install dp-first, dp-nowhere>=2 on this worker")
    assert "exit code 1" in text
    assert "No matching distribution found for dp-nowhere>=2" in text
    assert "No matching distribution found for dp-nowhere>=2" in caplog.text
    assert isinstance(info.value, DockerParallelError)
    assert isinstance(info.value, RuntimeError)
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_credentials_reach_neither_log_nor_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:s3cret@localhost:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(PackageInstallError) as info:
        packages.install(["dp @ http://me:s3cr@t@localhost:9/dp.whl"], pip_folder=tmp_path)
    assert "****@localhost:9/dp.whl" in str(info.value)
    assert "s3cr" not in str(info.value) + caplog.text


def test_secrets_reach_the_installer_where_they_should_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = tmp_path / "python"
    show.write_text(
        "#!/bin/sh\nenv | grep -E '^(PIP|DOCKERPARALLEL)_'\necho arguments $*\n"
        "echo http://me:s3cret@host/\nexit 3\n"
    )
    show.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(show))
    monkeypatch.setenv("DOCKERPARALLEL_REDIS_PASSWORD", "s3cret")
    monkeypatch.setenv("PIP_SOMETHING", "mine")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "PIP_INDEX_URL").write_text("http://me:t0ken@index/\n")
    monkeypatch.setenv("DOCKERPARALLEL_SECRETS_DIR", str(tmp_path / "secrets"))
    with pytest.raises(PackageInstallError) as info:
        packages.install(["dp @ http://me:t0ken@host/"], pip_folder=tmp_path / "packages")
    arguments = re.search("arguments .*", str(info.value))
    assert arguments is not None
    assert "http" not in arguments.group()
    assert "PIP_SOMETHING=mine" in str(info.value)
    assert "PIP_INDEX_URL=http://****@index/" in str(info.value)
    assert "t0ken" not in str(info.value)
    assert "http://****@host/" in str(info.value)
    assert "s3cret" not in str(info.value)
    assert "exit code 3" in str(info.value)


def test_installer_that_takes_too_long_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "python"
    slow.write_text(f"#!/bin/sh\nsleep 3600 &\necho $! > {tmp_path}/child\necho busy\nwait\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    with pytest.raises(PackageInstallError, match=r"not finish within .* seconds") as info:
        packages.install(["dp-first"], pip_folder=tmp_path / "packages", timeout=1.0)
    assert "busy" in str(info.value)
    assert "DOCKERPARALLEL_INSTALL_TIMEOUT_SECONDS" in str(info.value)
    child = int((tmp_path / "child").read_text())
    until(lambda: not is_alive(child), "the installer's child to end")


def is_alive(process_id: int) -> bool:
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def test_waiting_for_another_supervisor_is_bounded(index: Path, tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(PackageInstallError, match="Another supervisor still installs"):
            packages.install(["dp-first"], pip_folder=tmp_path, timeout=0.5)


def test_system_packages_are_refused_on_somebodys_machine(tmp_path: Path) -> None:
    with pytest.raises(PackageInstallError, match="libgomp1 cannot be installed here"):
        packages.install(["dp-first"], ["libgomp1"], pip_folder=tmp_path / "packages")
    assert not (tmp_path / "packages").exists()


@as_root
def test_system_packages_come_by_apt_get_in_a_container(tmp_path: Path) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text(
        f'#!/bin/sh\necho "$DEBIAN_FRONTEND $@" >> {tmp_path}/calls\n'
        'case "$*" in *nowhere*) echo "E: Unable to locate"; exit 100;; esac\n'
    )
    apt.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    packages.install([], ["libgomp1", "git"], environ=environ)
    assert (tmp_path / "calls").read_text().splitlines() == [
        "noninteractive --quiet update",
        "noninteractive --quiet install --yes --no-install-recommends -- libgomp1 git",
    ]
    with pytest.raises(PackageInstallError, match=r"nowhere \(exit code 100\)[\s\S]*Unable to"):
        packages.install([], ["nowhere"], environ=environ)


@as_root
def test_image_without_apt_get(tmp_path: Path) -> None:
    with pytest.raises(PackageInstallError, match="no apt-get in this image"):
        packages.install([], ["libgomp1"], environ={"PATH": str(tmp_path)})


@pytest.mark.parametrize(
    "name",
    [
        "numpy",
        "scikit-learn==1.5.*",
        "a",
        "numpy >=1.26, <3",
        "name[extra,more]~=1.0",
        "name (>=1)",
        "tomli>=2; python_version < '3.11'",
        "https://host/a-1.0-py3-none-any.whl",
        "git+https://host/repo.git@main#egg=name",
        "name @ file:///there/name.whl",
        "./dist/name-1.0.whl",
        "/opt/wheels/name.whl",
    ],
)
def test_pip_names_that_are_taken(name: str) -> None:
    assert check_pip_packages([name, f" {name} "]) == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "-r file",
        "--index-url=x",
        "a b",
        "a; rm -rf /",
        "$(id)",
        "`id`",
        "a|b",
        "a\nb",
        "a&&b",
    ],
)
def test_pip_names_that_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no pip package") as info:
        check_pip_packages([name])
    assert isinstance(info.value, DockerParallelError)


def test_wrong_types_of_names() -> None:
    with pytest.raises(TypeError, match="must be a string, not 3"):
        check_pip_packages(["a", 3])
    with pytest.raises(TypeError, match="not the one string 'numpy'"):
        check_pip_packages("numpy")
    with pytest.raises(ValueError, match=r"'http://\*\*\*\*@h/ x' is no pip package"):
        check_pip_packages(["http://u:p@h/ x"])


@pytest.mark.parametrize(
    "name", ["libgomp1", "g++", "git=1:2.39.5-0+deb12u2", "libc6:amd64", "vim/stable"]
)
def test_system_names_that_are_taken(name: str) -> None:
    assert check_system_packages([name]) == (name,)


@pytest.mark.parametrize("name", ["", "-y", "Git", "a b", "a;b", "../x", "$(id)", "./local.deb"])
def test_system_names_that_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no system package"):
        check_system_packages([name])


def test_masking() -> None:
    text = "Looking at https://user:p@ss@host/simple, http://host/a@b and git+ssh://git@host/r"
    assert mask_credentials(text) == (
        "Looking at https://****@host/simple, http://host/a@b and git+ssh://****@host/r"
    )
