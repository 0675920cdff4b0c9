"""The workspace's own rules for tests, checked on small test files that break them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LEAVES_A_PROCESS = """
import subprocess, sys

def test_it():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
"""

LEAVES_A_CHILD_THAT_HIDES = """
import subprocess, sys

def test_it():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], env={})
"""

LEAVES_A_DAEMON_THAT_HIDES = """
import os, subprocess

def test_it():
    with open(os.environ["XDG_RUNTIME_DIR"] + "/log", "w") as log:
        subprocess.run("sleep 300 &", shell=True, env={"PATH": os.environ["PATH"]}, stdout=log)
"""

LEAVES_A_FILE = """
import os
from pathlib import Path

def test_it():
    folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "dockerparallel"
    folder.mkdir()
    (folder / "state.json").write_text("{}")
"""

LEAVES_NOTHING = """
import subprocess, sys

def test_it():
    subprocess.run([sys.executable, "-c", ""], check=True)
"""

SENDS_CTRL_C = """
import subprocess, sys

def test_it():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert b"KeyboardInterrupt" in ended.stderr
"""

NEEDS_DOCKER = """
import pytest

@pytest.mark.docker
def test_it():
    pass
"""


@pytest.fixture
def run_tests(tmp_path: Path) -> RunTests:
    return RunTests(tmp_path)


class RunTests:
    """Runs pytest on a file of its own under the workspace's rules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / "tools", folder / "tools")

    def __call__(self, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "test_case.py").write_text(source)
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_case.py"],
            cwd=self.folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def test_a_test_that_cleans_up_passes(run_tests: RunTests) -> None:
    done = run_tests(LEAVES_NOTHING)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "source", [LEAVES_A_PROCESS, LEAVES_A_CHILD_THAT_HIDES, LEAVES_A_DAEMON_THAT_HIDES]
)
def test_a_process_that_a_test_leaves_fails_the_run_and_is_ended(
    run_tests: RunTests, source: str
) -> None:
    done = run_tests(source)
    assert done.returncode == 1
    (pid,) = set(re.findall(r"process (\d+): .*sleep", done.stdout))
    command_line = Path("/proc", pid, "cmdline")
    # Where nobody has waited for it yet, it is a zombie, whose command line is empty.
    assert not command_line.exists() or not command_line.read_bytes()


def test_a_runtime_file_that_a_test_leaves_fails_the_run(run_tests: RunTests) -> None:
    done = run_tests(LEAVES_A_FILE)
    assert done.returncode == 1
    assert "dockerparallel/state.json" in done.stdout


def test_ctrl_c_works_in_a_run_that_a_shell_has_put_in_the_background(
    run_tests: RunTests,
) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = run_tests(SENDS_CTRL_C)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("required", "code", "outcome"), [("0", 0, "SKIPPED"), ("1", 1, "ERROR")])
def test_a_docker_test_without_an_engine(
    run_tests: RunTests, tmp_path: Path, required: str, code: int, outcome: str
) -> None:
    silent = f"unix://{tmp_path}/nobody.sock"
    done = run_tests(NEEDS_DOCKER, DOCKER_HOST=silent, DOCKERPARALLEL_REQUIRE_DOCKER=required)
    assert done.returncode == code
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(outcome)]
    assert "no Docker engine answers" in line
