"""Limits the threads of BLAS and OpenMP libraries in a worker, for the time of one batch.

A worker lives long, and runs batches of different limits. Its environment variables only reach
libraries that are loaded afterwards; those that are there are told by threadpoolctl, where the
worker has it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dockerparallel_redis_queue_container.settings import THREAD_LIMITS

_VARIABLES = [name for name in THREAD_LIMITS if name.endswith("_THREADS")]
_BY_LIBRARY = {
    "blis": "BLIS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "openblas": "OPENBLAS_NUM_THREADS",
}

_log = logging.getLogger(__name__)
_told: set[str] = set()


@contextmanager
def limited_threads(number: int | None) -> Iterator[None]:
    """Let libraries use ``number`` threads each; ``None`` changes nothing.

    Afterwards all is as it was, and a library that was loaded meanwhile has the number that it
    would have had without the limit.
    """
    if number is None:
        yield
        return
    before = {name: os.environ.get(name) for name in _VARIABLES}
    controller = _controller()
    os.environ.update(dict.fromkeys(_VARIABLES, str(number)))
    limiter = None if controller is None else controller.limit(limits=number)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if limiter is not None and controller is not None:
            limiter.restore_original_limits()
            _free_new_libraries(controller)


def _controller() -> Any:
    try:
        from threadpoolctl import ThreadpoolController  # noqa: PLC0415  # not every worker has it
    except ImportError:
        if not _told:
            _told.add("threadpoolctl")
            _log.warning(
                "inner_max_num_threads only holds for libraries that are loaded by the task "
                "itself, since this worker lacks threadpoolctl: add it with "
                'cluster.worker_container.add_pip_packages("threadpoolctl").'
            )
        return None
    return ThreadpoolController()


def _free_new_libraries(before: Any) -> None:
    """Take the limit off the libraries that read it from the environment while it was there."""
    known = {library.filepath for library in before.lib_controllers}
    for library in _controller().lib_controllers:
        if library.filepath not in known:
            library.set_num_threads(_own_number(library.internal_api))


def _own_number(library: str) -> int:
    for name in (_BY_LIBRARY.get(library), "OMP_NUM_THREADS"):
        text = os.environ.get(name, "") if name else ""
        if text.isdecimal() and int(text) > 0:
            return int(text)
    return len(os.sched_getaffinity(0))
