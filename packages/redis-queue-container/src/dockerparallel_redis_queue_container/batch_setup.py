"""What a worker prepares before it runs a batch of joblib: its threads, and an initializer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import cloudpickle

from dockerparallel_redis_queue_container.errors import TaskPicklingError
from dockerparallel_redis_queue_container.inner_threads import limited_threads
from dockerparallel_redis_queue_container.joblib_options import check_threads
from dockerparallel_redis_queue_container.serialization import PICKLE_PROTOCOL

_T = TypeVar("_T")

_initialized_by = ""


@dataclass(frozen=True)
class BatchSetup:
    """What is prepared; it travels with each batch.

    Parameters
    ----------
    threads
        How many threads BLAS and OpenMP libraries may use; ``None`` leaves them as they are.
    initializer
        What the worker calls, unless what it called last was the same with the same arguments.
    initargs
        The initializer's arguments.
    key
        Names the initializer with its arguments; empty for none.
    """

    threads: int | None
    initializer: Callable[..., Any] | None
    initargs: Sequence[Any]
    key: str

    @classmethod
    def of(cls, threads: Any, options: Mapping[str, Any]) -> Self | None:
        """Make one of the backend's options; ``None`` where there is nothing to prepare.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            ``threads`` is neither ``None`` nor a whole number from 1.
        TaskPicklingError
            The initializer or its arguments cannot be pickled.
        """
        threads = check_threads(threads)
        initializer = options.get("initializer")
        if initializer is None:
            return None if threads is None else cls(threads, None, (), "")
        initargs = tuple(options.get("initargs", ()))
        try:
            data = cloudpickle.dumps((initializer, initargs), PICKLE_PROTOCOL)
        except Exception as error:
            raise TaskPicklingError(
                f"Could not pickle the initializer to send to the workers: "
                f"{type(error).__name__}: {error}. Pass arguments that can be pickled."
            ) from error
        return cls(threads, initializer, initargs, hashlib.sha256(data).hexdigest())


def run_batch(batch: Callable[[], _T], setup: BatchSetup) -> _T:
    """Prepare as ``setup`` says, and return what ``batch`` returns; called by the worker.

    Raises
    ------
    Exception
        Whatever the initializer or the batch raises. An initializer that failed is called again
        before the next batch.
    """
    global _initialized_by  # noqa: PLW0603  # it is the state of this worker
    with limited_threads(setup.threads):
        if setup.initializer is not None and setup.key != _initialized_by:
            _initialized_by = ""
            setup.initializer(*setup.initargs)
            _initialized_by = setup.key
        return batch()
