"""Wheels of what is installed: packed from its files, or built where it is editable."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dockerparallel_redis_queue_container import ImageBuildError
from dockerparallel_redis_queue_container.own_wheels import pins, write_wheel

PATIENCE = 100.0
# A backend that needs nothing, so that pip asks no index.
BACKEND = """
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "sample_app-1.0-py3-none-any.whl"
    about = "sample_app-1.0.dist-info"
    metadata = "Metadata-Version: 2.1\\nName: sample-app\\nVersion: 1.0\\n"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("sample_app.py", "FROM = 'the source'")
        wheel.writestr(f"{about}/METADATA", metadata)
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(f"{about}/RECORD", "")
    return name
"""
BUILD_SYSTEM = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the distribution sample-app by hand, with what an installer leaves."""
    site = tmp_path / "site"
    about = "sample_app-1.0.dist-info"
    files = {
        "sample_app/__init__.py": "ANSWER = 42\n",
        "sample_app/data/Dockerfile": "FROM scratch\n",
        "sample_app/__pycache__/__init__.cpython-3.pyc": "compiled",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: Sample.App\nVersion: 1.0\n"
        'Requires-Dist: cloudpickle>=3\nRequires-Dist: no-such-thing; extra == "more"\n'
        "Requires-Dist: joblib (>=1.4)\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": "[console_scripts]\nsample = sample_app:main\n",
        f"{about}/licenses/LICENSE": "free\n",
        f"{about}/INSTALLER": "pip\n",
        f"{about}/REQUESTED": "",
        f"{about}/direct_url.json": '{"url": "file:///x.whl", "archive_info": {}}',
        "../bin/sample": "#!python\n",
    }
    for name, text in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    names = [*files, f"{about}/RECORD"]
    (site / about / "RECORD").write_text("".join(f"{name},,\n" for name in names))
    monkeypatch.syspath_prepend(str(site))
    return site


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def imported_after_installation(wheel: Path, folder: Path, code: str) -> str:
    """Install a wheel, and nothing else, into a new environment and run code there."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, timeout=PATIENCE)
    done = subprocess.run(
        [python, "-I", "-c", code], check=True, capture_output=True, text=True, timeout=PATIENCE
    )
    return done.stdout.strip()


def test_the_wheel_holds_what_the_distribution_is_made_of(site: Path, tmp_path: Path) -> None:
    wheel = write_wheel("sample-app", tmp_path, PATIENCE)
    assert wheel == tmp_path / "sample_app-1.0-py3-none-any.whl"
    about = "sample_app-1.0.dist-info"
    packed = contents(wheel)
    assert set(packed) == {
        "sample_app/__init__.py",
        "sample_app/data/Dockerfile",
        f"{about}/METADATA",
        f"{about}/WHEEL",
        f"{about}/entry_points.txt",
        f"{about}/licenses/LICENSE",
        f"{about}/RECORD",
    }
    rows = list(csv.reader(io.StringIO(packed[f"{about}/RECORD"].decode())))
    assert {row[0] for row in rows} == set(packed)
    for name, digest, size in rows:
        if name.endswith("/RECORD"):
            assert (digest, size) == ("", "")
            continue
        right = base64.urlsafe_b64encode(hashlib.sha256(packed[name]).digest()).decode()
        assert (digest, size) == (f"sha256={right.rstrip('=')}", str(len(packed[name])))


def test_the_same_files_give_the_same_wheel(site: Path, tmp_path: Path) -> None:
    wheels = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        wheels.append(write_wheel("sample-app", tmp_path / name, PATIENCE).read_bytes())
    assert wheels[0] == wheels[1]


@pytest.mark.parametrize("name", ["cloudpickle", "redis"])
def test_the_wheel_of_a_real_distribution_can_be_installed(name: str, tmp_path: Path) -> None:
    wheel = write_wheel(name, tmp_path, PATIENCE)
    code = f"import importlib.metadata, {name}; print({name}.__version__)"
    version = imported_after_installation(wheel, tmp_path / "environment", code)
    assert wheel.name.startswith(f"{name}-{version}-")


def test_an_editable_install_is_built_from_its_source(site: Path, tmp_path: Path) -> None:
    source = tmp_path / "a source"
    source.mkdir()
    (source / "pyproject.toml").write_text(BUILD_SYSTEM)
    (source / "backend.py").write_text(BACKEND)
    record = {"url": source.as_uri(), "dir_info": {"editable": True}}
    (site / "sample_app-1.0.dist-info" / "direct_url.json").write_text(json.dumps(record))
    wheel = write_wheel("sample-app", tmp_path, PATIENCE)
    assert b"the source" in contents(wheel)["sample_app.py"]
    (source / "backend.py").write_text("def build_wheel(*_): raise SystemExit('no room')")
    wheel.unlink()
    with pytest.raises(ImageBuildError, match=r"(?s)editable mode from .*a source.*no room"):
        write_wheel("sample-app", tmp_path, PATIENCE)


def test_what_is_not_installed_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageBuildError, match='pip install no-such-distribution"'):
        write_wheel("no-such-distribution", tmp_path, PATIENCE)


def test_a_file_that_is_gone_is_told(site: Path, tmp_path: Path) -> None:
    (site / "sample_app" / "__init__.py").unlink()
    with pytest.raises(ImageBuildError, match=r"Sample.App 1.0 is not whole here: .*__init__"):
        write_wheel("sample-app", tmp_path, PATIENCE)


def test_an_installation_that_tells_no_files_is_refused(site: Path, tmp_path: Path) -> None:
    (site / "sample_app-1.0.dist-info" / "RECORD").unlink()
    with pytest.raises(ImageBuildError, match="was not installed from a wheel"):
        write_wheel("sample-app", tmp_path, PATIENCE)


def test_dependencies_are_pinned_to_what_is_installed(site: Path) -> None:
    import cloudpickle
    import joblib

    found = pins(("sample-app",))
    assert f"cloudpickle=={cloudpickle.__version__}" in found
    assert f"joblib=={joblib.__version__}" in found
    # An extra of what is depended on is nobody's wish.
    assert not any(pin.startswith(("pytest==", "no-such-thing")) for pin in found)
    own = ("dockerparallel", "dockerparallel-redis-queue-container")
    assert {pin.partition("==")[0] for pin in pins(own)} >= {"cloudpickle", "joblib", "redis"}
    assert not any(pin.startswith("dockerparallel") for pin in pins(own))
