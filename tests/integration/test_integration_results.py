"""The last line of CI: the sum over all runs of pytest, and whether they are good enough."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "sum_results.py"

GOOD = """
import pytest

def test_pass():
    pass

def test_skip():
    pytest.skip("not here")

@pytest.mark.xfail
def test_expected_failure():
    assert False
"""

BAD = """
import pytest

@pytest.fixture
def broken_end():
    yield
    raise RuntimeError

def test_fail():
    assert False

def test_error(broken_end):
    pass
"""


@pytest.mark.parametrize(
    ("sources", "code", "line"),
    [
        ([GOOD], 0, "1 passed, 0 failed, 2 skipped"),
        ([GOOD, GOOD, BAD], 1, "2 passed, 2 failed, 4 skipped"),
        ([], 1, "0 passed, 0 failed, 0 skipped"),
        (["import nothing_like_this"], 1, "0 passed, 1 failed, 0 skipped"),
    ],
)
def test_the_runs_are_added_up(tmp_path: Path, sources: list[str], code: int, line: str) -> None:
    for number, source in enumerate(sources):
        file = tmp_path / f"test_{number}.py"
        file.write_text(source, encoding="utf-8")
        report = f"--junitxml={tmp_path / 'results' / str(number)}.xml"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-c", "/dev/null", "-qq", report, str(file)],
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
        )
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "results")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, f"{line}\n")
