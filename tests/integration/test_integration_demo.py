"""The demonstration, on fewer fits: what it prints is what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "digits_search.py"


def test_the_search_grows_the_cluster_finds_the_same_and_leaves_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), "--workers", "1", "--folds", "3"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "growing to 2 workers" in done.stdout
    assert "60/60" in done.stdout
    workers = re.findall(r"process (\d+) on .*: \d+ tasks", done.stdout)
    assert len(workers) == 2
    assert done.stdout.endswith("Both searches found the same.\nNothing is left running.\n")
