"""The joblib backend ``redis-queue``: ``joblib.Parallel`` on the workers of a cluster."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from joblib.parallel import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from dockerparallel_redis_queue_container.batch_setup import BatchSetup
from dockerparallel_redis_queue_container.client import QueueClient
from dockerparallel_redis_queue_container.joblib_options import check_options
from dockerparallel_redis_queue_container.turnstile import Turnstile

BACKEND_NAME = "redis-queue"
_FAR_TOO_SHORT = 20
_GROWTH = 256
_MOST_CALLS = 4096
_MOST_CALLS_OF_LIST = 65536

if TYPE_CHECKING:
    _Backend = ParallelBackendBase[Any]
else:
    # Generic in its published types only.
    _Backend = ParallelBackendBase


class RedisQueueBackend(AutoBatchingMixin, _Backend):
    """Sends joblib's batches to the workers.

    Made by joblib, for each ``Parallel`` object or for a ``parallel_config`` block; then several
    ``Parallel`` objects use it, also at the same time.

    Parameters
    ----------
    client
        The connection to the queue.
    worker_number
        Returns how many workers the cluster is to have now.
    nesting_level
        As joblib passes it.
    inner_max_num_threads
        How many threads each batch may use in BLAS and OpenMP libraries; by default what the worker
        was started with.
    **backend_kwargs
        ``initializer`` and ``initargs``: a function that each worker calls before its first
        batch, and its arguments. ``idle_worker_timeout``: taken and ignored.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        An option is unknown, or has a value that cannot be used.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    supports_sharedmem = False
    uses_threads = False
    default_n_jobs = -1

    def __init__(
        self,
        client: QueueClient,
        worker_number: Callable[[], int],
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        **backend_kwargs: Any,
    ) -> None:
        check_options(backend_kwargs)
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        # joblib before 1.5 does not keep them.
        self.backend_kwargs = backend_kwargs
        self.parallel: Any = None
        self.client = client
        self._worker_number = worker_number
        # Re-entrant: garbage collection may drop a generator, which aborts its call, in our midst.
        self._lock = threading.RLock()
        self._turnstiles: weakref.WeakKeyDictionary[Any, Turnstile] = weakref.WeakKeyDictionary()
        # Stands for the workers in what joblib's own tests ask of a backend of processes: it is
        # there while the backend can be used, and another one after an abort.
        self._workers: object | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many batches are to run at once.

        ``None`` and -1 mean all workers that the cluster is to have, -2 all but one, and so on,
        at least one. More than there are workers is allowed: the rest waits in the queue.

        Raises
        ------
        ValueError
            ``n_jobs`` is 0.
        """
        jobs = self._jobs(n_jobs)
        if self._workers is None or (n_jobs is not None and n_jobs > 0):
            return jobs
        # joblib runs a call with one job in this process. Who asked for all workers of a cluster
        # that has one means that worker, so a `Parallel` object is told two: one waits in line.
        return max(jobs, 2)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        **options: Any,
    ) -> int:
        """Prepare for the calls of one ``Parallel`` object; returns the number of jobs.

        Options for memory maps do not apply, since workers may be on other machines. Fewer jobs
        than the cluster has workers are a limit: no more batches are in the queue at once.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            As the class does.
        TaskPicklingError
            The ``initializer`` or its arguments cannot be pickled.
        """
        check_options(options)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        jobs = self._jobs(n_jobs)
        setup = BatchSetup.of(self.inner_max_num_threads, self.backend_kwargs | options)
        limit = jobs if jobs < self._worker_number() else None
        with self._lock:
            self.parallel = parallel
            self._turnstiles[parallel] = Turnstile(self.client, setup, limit)
            self._workers = self._workers or object()
        return self.effective_n_jobs(n_jobs)

    def start_call(self) -> None:
        """Forget what belongs to the calls before, with the batches of one that failed.

        joblib keeps these; it would take them for batches of the call that starts now, and mix up
        the results. It does not say whose call it is.
        """
        with self._lock:
            calls = list(self._turnstiles.items())
        for parallel, turnstile in calls:
            turnstile.start_call()
            kept = getattr(parallel, "_ready_batches", None)
            if kept is None or kept.empty():
                continue
            with parallel._lock:  # noqa: SLF001  # joblib has no other way
                if parallel.n_dispatched_tasks == 0:
                    kept.queue.clear()

    def submit(
        self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None
    ) -> Future[Any]:
        """Send one batch; ``callback`` gets the future when it is done.

        Never raises: joblib calls it from its callbacks too, where an exception would be lost
        and the call would wait for ever. What cannot be pickled is a `TaskPicklingError` in the
        future.
        """
        parallel = getattr(callback, "parallel", self)
        turnstile = self._turnstiles.get(parallel)
        if turnstile is None:
            with self._lock:
                setup = BatchSetup.of(self.inner_max_num_threads, self.backend_kwargs)
                turnstile = Turnstile(self.client, setup, None)
                turnstile = self._turnstiles.setdefault(parallel, turnstile)
        return turnstile.submit(func, callback)

    def apply_async(
        self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None
    ) -> Future[Any]:
        """Do what :meth:`submit` does: joblib before 1.5 calls it by this name."""
        return self.submit(func, callback)

    def compute_batch_size(self) -> int:
        """Return how many calls the next batch has: joblib's number, reached in fewer steps.

        joblib doubles the size of batches that are too short, and each step costs round trips.
        While a batch takes less than a twentieth of what it should, it grows at once to what joblib
        would aim at, or 256 times its size. That is no risk where calls are few or turn out longer:
        of what is left, joblib gives each job at least ten batches. Where results come from a
        generator, a batch has 4096 calls at most, so that they are never all in memory at once.
        """
        state: Any = self
        is_generator = getattr(self.parallel, "return_generator", True)
        most = _MOST_CALLS if is_generator else _MOST_CALLS_OF_LIST
        duration, size = state._smoothed_batch_duration, state._effective_batch_size  # noqa: SLF001  # joblib has no other way
        if 0 < duration < self.MIN_IDEAL_BATCH_DURATION and size >= most:
            return int(size)
        wanted = int(super().compute_batch_size())
        if wanted == 2 * size and duration < self.MIN_IDEAL_BATCH_DURATION / _FAR_TOO_SHORT:
            aim = int(size * self.MIN_IDEAL_BATCH_DURATION / duration)
            wanted = min(_GROWTH * size, max(wanted, aim))
        if wanted != size:
            wanted = state._effective_batch_size = min(wanted, most)  # noqa: SLF001  # joblib has no other way
        return wanted

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return the results of a batch, or raise what it raised."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel the batches of a call that no worker has begun; other calls go on.

        The backend can be used again, also where ``ensure_ready`` is false.
        """
        with self._lock:
            # joblib does not say which of the calls it aborts, but marks it before.
            aborted = [
                turnstile
                for parallel, turnstile in self._turnstiles.items()
                if getattr(parallel, "_aborting", True)
            ]
            self._workers = object() if ensure_ready else None
        for turnstile in aborted:
            turnstile.cancel()

    def terminate(self) -> None:
        """Forget what was learnt of batch sizes; connection and workers serve the next call."""
        self._workers = None
        self.reset_batch_stats()

    # -----------------------------------------------------------------------------------------

    def _jobs(self, n_jobs: int | None) -> int:
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            n_jobs = -1
        return n_jobs if n_jobs > 0 else max(1, self._worker_number() + 1 + n_jobs)


def backend_class(client: QueueClient, worker_number: Callable[[], int]) -> type[RedisQueueBackend]:
    """Make the backend class of one cluster, for `joblib.register_parallel_backend`.

    A class, and not any callable, since libraries compare the type of an active backend with what
    is registered.
    """

    class Registered(RedisQueueBackend):
        __doc__ = RedisQueueBackend.__doc__

        def __init__(self, **options: Any) -> None:
            super().__init__(client, worker_number, **options)

    setattr(Registered, "client", client)  # noqa: B010  # an annotation knows it of objects only
    # joblib shows it in its messages.
    Registered.__name__ = Registered.__qualname__ = RedisQueueBackend.__name__
    Registered.__module__ = RedisQueueBackend.__module__
    return Registered
