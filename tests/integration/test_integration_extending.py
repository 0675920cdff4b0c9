"""Every block of code in the guide for authors is executed, its extensions by the whole suite."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
# Other blocks are pictures.
LANGUAGES = {"python", "toml", "console", "text"}


def blocks(language: str) -> list[str]:
    return [code for found, code in BLOCKS if found == language]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with the files of the guide."""
    for code in blocks("python"):
        name = re.match(r"# file: (\w+\.py)\n", code)
        if name:
            (tmp_path / name[1]).write_text(code)
    return tmp_path


def run(folder: Path, *arguments: str, timeout: float = 280) -> str:
    # The guide's providers kill, so that workers leave temporary files: in the test's own folder.
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_block_says_what_it_is() -> None:
    assert {language for language, _ in BLOCKS} == LANGUAGES


def test_the_blocks_without_a_file_run_in_their_order(folder: Path) -> None:
    loose = [code for code in blocks("python") if not code.startswith("# file: ")]
    assert len(loose) >= 3
    (folder / "loose.py").write_text("\n".join(loose))
    run(folder, "-W", "error", "loose.py", timeout=60)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["PopenProvider", "FolderProvider", "PipeContainer"])
def test_the_extensions_of_the_guide_keep_their_promises(folder: Path, name: str) -> None:
    table = run(folder, "-m", "pytest", "-W", "error", "test_extensions.py", "-k", f"Test{name}")
    assert " 0 failed" in table
    skipped = re.findall(r"^[PC]-\d+ .* skipped +(.*)$", table, re.MULTILINE)
    assert all("does not claim" in why or "does not scale" in why for why in skipped), table


@pytest.mark.timeout(300)
def test_the_one_call_runs(folder: Path) -> None:
    table = run(folder, "-W", "error", "check_in_one_call.py")
    assert table.splitlines()[0] == "PopenProvider x PipeWorkerContainer, 2 workers"
    assert " 0 failed" in table


def test_the_project_file_is_one() -> None:
    for code in blocks("toml"):
        project = tomllib.loads(code)
        (target,) = project["project"]["entry-points"]["dockerparallel.providers"].values()
        assert re.fullmatch(r"\w+:\w+", target)


def test_the_commands_are_known(folder: Path) -> None:
    lines = [line for code in blocks("console") for line in code.splitlines()]
    for line in lines:
        program, *arguments = line.split()
        if program == "pip":
            assert arguments == ["install", "dockerparallel-conformance"]
        elif program == "pytest":
            run(folder, "-m", "pytest", "--collect-only", "-q", *arguments, timeout=60)
        else:
            assert program == "python"
            run(folder, *arguments, timeout=60)
