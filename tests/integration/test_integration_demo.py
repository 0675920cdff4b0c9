"""The demonstration, on fewer fits: what it prints is what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import base_image, demo_image, with_own_image
from tools.docker_engine import REQUIRE_VARIABLE

SCRIPT = Path(__file__).parents[2] / "examples" / "digits_search.py"
PROGRAM = (sys.executable, "-W", "error", str(SCRIPT))


def test_the_search_grows_the_cluster_finds_the_same_and_leaves_nothing() -> None:
    done = subprocess.run(
        [*PROGRAM, "--workers=1", "--folds=3"],
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


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_in_containers_it_says_in_which() -> None:
    reason = with_own_image.reason_to_skip()
    assert reason is None or os.environ.get(REQUIRE_VARIABLE) != "1", reason
    if reason is not None:
        pytest.skip(reason)
    # What other tests use of the image is unlike it, so that it can be removed afterwards.
    image = demo_image.ensure()
    try:
        done = subprocess.run(
            [*PROGRAM, "--provider=local-docker", f"--image={image}", "--workers=1", "--folds=3"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        base_image.run("docker", "image", "rm", image)
    assert done.returncode == 0, done.stdout + done.stderr
    names = re.findall(r"in the container (\S+) \(Python .*: \d+ tasks", done.stdout)
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"dockerparallel-digits-search-\d+-worker-\w+", n) for n in names)
    assert done.stdout.endswith("Both searches found the same.\nNothing is left running.\n")
