"""The Docker engine that the tests are promised where one is required."""

from __future__ import annotations

import json
import subprocess

import pytest


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
