"""A pytest plugin that runs joblib's own tests of `Parallel` on the workers of a cluster.

The run gets its cluster and its mode by the environment variable ``VARIABLE``. Our backend stands
wherever joblib's tests name ``loky``, be it as one of several backends or as the only one. In the
mode ``default`` it is the default backend, too, and the tests that name no backend run as well; in
the mode ``named`` the default stays ``loky``. Tests that do not concern our backend are not run.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import joblib.parallel
import pytest
from joblib._parallel_backends import ParallelBackendBase
from redis_queue_harness import NoProvider

from dockerparallel import DockerCluster, ExternalServer
from dockerparallel_redis_queue_container import RedisQueueWorkerContainer

VARIABLE = "DOCKERPARALLEL_TESTS_JOBLIB_SUITE"
OURS = "redis-queue"
MODEL = "loky"

_HEADER = "import redis_queue_joblib_plugin; redis_queue_joblib_plugin.register()\n"
# What must hold for us where the tests expect of loky what is particular to it: that only one call
# can run at a time, and that a worker cannot start processes of multiprocessing.
OUR_ROWS: dict[str, list[tuple[Any, ...]]] = {
    "test_multiple_generator_call_separated_gc": [(OURS, False)],
    "test_nested_parallel_warnings": [
        (OURS, OURS, False),
        (OURS, "multiprocessing", False),
        ("multiprocessing", OURS, False),
        ("threading", OURS, False),
    ],
}

_NAMED = f'backend="{MODEL}"'
_rewritten: set[str] = set()


def chosen() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(os.environ[VARIABLE])
    return found


def register() -> DockerCluster:
    """Connect to the cluster of this run; called in the scripts that joblib's tests start, too."""
    run = chosen()
    cluster = DockerCluster(
        provider=NoProvider(),
        worker_container=RedisQueueWorkerContainer(),
        private_server=ExternalServer(
            public_ip="127.0.0.1", public_port=run["port"], password=run["password"]
        ),
        job_queue_name=run["job_queue_name"],
        worker_number=run["workers"],
    )
    cluster.register_backend()
    # Nobody else keeps it, and it ends with this process.
    globals()["cluster"] = cluster
    return cluster


def pytest_configure() -> None:
    """Register before the tests are imported, which look then at the backends that there are."""
    # As in the workers: the tests share objects of a manager, which otherwise only children can.
    multiprocessing.current_process().authkey = chosen()["authkey"].encode()
    register()
    if chosen()["mode"] == "named":
        joblib.parallel.DEFAULT_BACKEND = MODEL


def pytest_unconfigure() -> None:
    globals()["cluster"].deregister_backend()


def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> None:
    """Put our name into the code of tests that name loky alone."""
    if isinstance(obj, FunctionType) and name.startswith("test_"):
        parameters = [mark.args[0] for mark in getattr(obj, "pytestmark", []) if mark.args]
        if any("backend" in str(names) for names in parameters):
            return
        function: Any = obj
        code = renamed(function.__code__)
        if code is not function.__code__ or runs_script(function):
            function.__code__ = code
            _rewritten.add(name)


def runs_script(function: FunctionType) -> bool:
    texts = [function.__globals__.get(name) for name in function.__code__.co_names]
    return any(isinstance(text, str) and _NAMED in text for text in texts)


def renamed(code: CodeType) -> CodeType:
    constants = tuple(
        OURS if value == MODEL else renamed(value) if isinstance(value, CodeType) else value
        for value in code.co_consts
    )
    same = all(new is old for new, old in zip(constants, code.co_consts, strict=True))
    return code if same else code.replace(co_consts=constants)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Put our name beside loky into the lists of backends, where it is not there yet."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        if "backend" not in str(mark.args[0]):
            continue
        values = list(mark.args[1])
        if OURS not in values and MODEL in values:
            values.append(OURS)
        rows = [row for row in values if isinstance(row, tuple) and MODEL in row]
        values += OUR_ROWS.get(
            metafunc.function.__name__,
            [tuple(OURS if value == MODEL else value for value in row) for row in rows],
        )
        object.__setattr__(mark, "args", (mark.args[0], values, *mark.args[2:]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted: list[pytest.Item] = []
    other: list[pytest.Item] = []
    excluded = chosen()["excluded"]
    for item in items:
        values = list(item.callspec.params.values()) if hasattr(item, "callspec") else []
        name = item.originalname if isinstance(item, pytest.Function) else item.name
        concerns_us = any(map(is_ours, values))
        if chosen()["mode"] == "default":
            concerns_us = concerns_us or name in _rewritten or not any(map(is_backend, values))
        left_out = any(fits(item.name, pattern) for pattern in excluded)
        (wanted if concerns_us and not left_out else other).append(item)
    config.hook.pytest_deselected(items=other)
    items[:] = wanted
    for module in {item.module for item in items if isinstance(item, pytest.Function)}:
        if hasattr(module, "check_subprocess_call"):
            module.check_subprocess_call = with_cluster(module.check_subprocess_call)


def with_cluster(check: Callable[..., None]) -> Callable[..., None]:
    """Make the scripts that a test starts register the cluster, and name our backend."""

    def check_script(command: list[str], **options: Any) -> None:
        *python, last = command
        if python[-1] == "-c":
            last = of_ours(last)
        else:
            script = Path(last)
            script.write_text(of_ours(script.read_text()))
        # It would be looked for what loky's processes log.
        options.pop("stderr_regex", None)
        check([*python, last], **options)

    return check_script


def of_ours(script: str) -> str:
    return _HEADER + script.replace(_NAMED, f'backend="{OURS}"')


def fits(name: str, pattern: str) -> bool:
    """Tell whether an exclusion is of this test; it names a test, or one set of parameters."""
    return name == pattern or name.partition("[")[0] == pattern


def is_ours(value: object) -> bool:
    return value == OURS or type(value).__name__ == "RedisQueueBackend"


def is_backend(value: object) -> bool:
    named = isinstance(value, str) and value in {*joblib.parallel.BACKENDS, "spawn"}
    return named or isinstance(value, ParallelBackendBase) or hasattr(value, "Pool")
