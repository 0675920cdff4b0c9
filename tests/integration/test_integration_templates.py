"""New extensions from the reference extensions of the working tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = """
import {package} as copy
from dockerparallel.presets import resolve_container, resolve_provider
from dockerparallel import DockerCluster
provider, container = {pair}
with DockerCluster(provider, container, 1, job_queue_name="{name}", verbose=0) as cluster:
    print(cluster.worker_container.executor().submit(pow, 2, 10).result(timeout=30))
"""


@pytest.mark.parametrize(
    ("kind", "pair"),
    [
        ("provider", 'copy.NewOneProvider(), resolve_container("redis-queue")'),
        ("container", 'resolve_provider("local-process"), copy.NewOneWorkerContainer()'),
    ],
)
def test_a_new_extension_computes_as_it_is(tmp_path: Path, kind: str, pair: str) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "dockerparallel", "new", kind, "new-one"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    project = tmp_path / f"dockerparallel-new-one-{kind}"
    assert f"Made {project.name}." in made.stdout
    assert (project / "tests" / "test_new_one_conformance.py").is_file()
    code = CHECK.format(
        package=f"dockerparallel_new_one_{kind}", pair=pair, name=f"templates-{os.getpid()}-{kind}"
    )
    computed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(project / "src")},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert computed.stdout.strip() == "1024", computed.stderr
