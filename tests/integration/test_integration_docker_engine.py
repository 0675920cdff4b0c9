"""The Docker engine for the tests: what the session that starts it does, and that it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "docker_engine.py"


@pytest.mark.parametrize(
    ("required", "code", "said"), [("0", 0, "will be skipped: "), ("1", 1, "asks for a Docker")]
)
def test_a_machine_where_no_engine_may_be_started_is_told_why(
    tmp_path: Path, required: str, code: int, said: str
) -> None:
    # An engine elsewhere that does not answer: starting one here would not help.
    silent = f"unix://{tmp_path}/nobody.sock"
    environment = {**os.environ, "DOCKER_HOST": silent, "DOCKERPARALLEL_REQUIRE_DOCKER": required}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert said in done.stdout
    assert f"DOCKER_HOST is {silent}" in done.stdout


@pytest.mark.docker
def test_the_engine_runs_linux_containers_on_an_api_that_we_know() -> None:
    asked = subprocess.run(
        ["docker", "version", "--format", "{{json .Server}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    server = json.loads(asked.stdout)
    major, minor = (int(part) for part in server["ApiVersion"].split("."))
    assert server["Os"] == "linux"
    # Debian 12 has the oldest engine that we support, 20.10 with API 1.41.
    assert (major, minor) >= (1, 41)
