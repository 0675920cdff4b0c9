"""joblib's own tests, with our backend in the place of its own ones."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from redis_queue_harness import Site
from redis_queue_joblib_plugin import VARIABLE

from dockerparallel_redis_queue_container import settings

_NO_FILES = "workers may be on other machines: arrays arrive as arrays, and nothing is mapped"
_NO_CLUSTER = "a process that loky starts on this machine knows no cluster"
_ALL_WORKERS = "n_jobs=None means all workers of a cluster, as for Dask, and not one job"

EXCLUDED = {
    "test_auto_memmap_on_arrays_from_generator": _NO_FILES,
    "test_memmapping_leaks": _NO_FILES,
    "test_nested_loop[loky-redis-queue]": _NO_CLUSTER,
    "test_nested_loop[back_compat_backend-redis-queue]": _NO_CLUSTER,
    "test_backend_nesting_level[parallel_config-redis-queue-loky]": _NO_CLUSTER,
    "test_backend_nesting_level[parallel_backend-redis-queue-loky]": _NO_CLUSTER,
    "test_backend_hinting_and_constraints": "asks whether backends are of the classes of joblib",
    "test_nested_parallelism_limit": "makes the name of the class from the name of the backend",
    "test_initializer_not_reused": "wants new processes where the initializer is another one",
}
"""Tests that cannot hold, whatever the default is, each with the reason."""

if sys.version_info >= (3, 12):
    EXCLUDED["test_nested_parallel_warnings[redis-queue-multiprocessing-False]"] = (
        "asks that nothing warns, and Python does where a process with threads, as a worker, forks"
    )

EXCLUDED_AS_DEFAULT = {
    "test_effective_n_jobs_None": _ALL_WORKERS,
    "test_nested_backend_in_sequential": _ALL_WORKERS,
    "test_threadpool_limitation_in_child_override": (
        "workers have the environment of their container, and not that of the client"
    ),
    "test_parallel_config_no_backend": "asks whether the default backend is LokyBackend",
    "test_parallel_config_params_explicit_set": "asks whether the default backend is LokyBackend",
}
"""Tests that cannot hold where our backend is the default, each with the reason."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("mode", "workers", "modules", "at_least"),
    [
        ("default", 4, ["test_parallel", "test_config", "test_memory"], 250),
        ("named", 2, ["test_parallel"], 100),
    ],
)
def test_joblibs_own_tests_pass(
    site: Site, tmp_path: Path, mode: str, workers: int, modules: list[str], at_least: int
) -> None:
    # Some tests share objects of a multiprocessing manager, which takes who has its key: children.
    key = secrets.token_hex(8)
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        f"import multiprocessing\nmultiprocessing.current_process().authkey = {key.encode()!r}\n"
    )
    # As the container sets them where each worker has one processor.
    limits = dict.fromkeys(settings.THREAD_LIMITS, "1")
    site.start_workers(workers, {"PYTHONPATH": str(folder), **limits})
    run = {
        "authkey": key,
        "excluded": [*EXCLUDED, *(EXCLUDED_AS_DEFAULT if mode == "default" else ())],
        "job_queue_name": site.name,
        "mode": mode,
        "password": site.server.password,
        "port": site.server.port,
        "workers": workers,
    }
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "redis_queue_joblib_plugin"),
            *("-c", os.devnull, "--rootdir", str(tmp_path), "--basetemp", str(tmp_path / "temp")),
            *("-p", "no:cacheprovider", "-q", "--timeout", "120", "--pyargs"),
            *(f"joblib.test.{module}" for module in modules),
        ],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), VARIABLE: json.dumps(run)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-20_000:] + finished.stderr[-5_000:]
    found = re.search(r"(\d+) passed", finished.stdout)
    assert found is not None, finished.stdout
    assert int(found[1]) >= at_least, finished.stdout
