"""The demonstration, on fewer fits: what it prints is what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import base_image, demo_image, with_own_image
from tools.docker_engine import REQUIRE_VARIABLE
from tools.with_fargate_harness import HARNESS

SCRIPT = Path(__file__).parents[2] / "examples" / "digits_search.py"
PROGRAM = (sys.executable, "-W", "error", str(SCRIPT))
SHORT = ("--workers=1", "--folds=3")


def test_the_search_grows_the_cluster_finds_the_same_and_leaves_nothing() -> None:
    done = subprocess.run(
        [*PROGRAM, *SHORT],
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


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """Give the image of the demonstration, and remove it.

    What other tests use of the image is unlike it, so that it can be removed afterwards.
    """
    reason = with_own_image.reason_to_skip()
    assert reason is None or os.environ.get(REQUIRE_VARIABLE) != "1", reason
    if reason is not None:
        pytest.skip(reason)
    name = demo_image.ensure()
    yield name
    # The engine removes a container that was run with --rm after its command has returned.
    users = ("docker", "ps", "--all", "--quiet", "--filter", f"ancestor={name}")
    deadline = time.monotonic() + 30.0
    while base_image.run(*users).strip():
        assert time.monotonic() < deadline, f"after 30 s there are still containers of {name}"
        time.sleep(0.1)
    base_image.run("docker", "image", "rm", name)


def searched(provider: str, image: str, *through: str) -> str:
    """Run the search in containers and return what it printed; it must succeed."""
    done = subprocess.run(
        [*through, *PROGRAM, f"--provider={provider}", f"--image={image}", *SHORT],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("Both searches found the same.\nNothing is left running.\n")
    return done.stdout


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_in_containers_it_says_in_which(image: str) -> None:
    names = re.findall(
        r"in the container (\S+) \(Python .*: \d+ tasks", searched("local-docker", image)
    )
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"dockerparallel-digits-search-\d+-worker-\w+", n) for n in names)


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_on_the_fargate_harness_each_task_takes_part(image: str) -> None:
    told = searched("ecs-fargate", image, *HARNESS)
    assert len(set(re.findall(r"on (ip-\S+) \(Python .*: \d+ tasks", told))) == 2
