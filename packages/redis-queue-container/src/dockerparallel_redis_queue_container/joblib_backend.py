"""The joblib backend ``redis-queue``: ``joblib.Parallel`` on the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from joblib.parallel import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from dockerparallel_redis_queue_container.client import QueueClient

BACKEND_NAME = "redis-queue"
_FAR_TOO_SHORT = 20
_GROWTH = 16

if TYPE_CHECKING:
    _Backend = ParallelBackendBase[Any]
else:
    # Generic in its published types only.
    _Backend = ParallelBackendBase


class RedisQueueBackend(AutoBatchingMixin, _Backend):
    """Sends joblib's batches to the workers. Made by joblib, for each ``Parallel`` object.

    Parameters
    ----------
    client
        The connection to the queue.
    worker_number
        Returns how many workers the cluster is to have now.
    nesting_level, inner_max_num_threads, **backend_kwargs
        As joblib passes them.
    """

    supports_retrieve_callback = True
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
        super().__init__(
            nesting_level=nesting_level,
            inner_max_num_threads=inner_max_num_threads,
            **backend_kwargs,
        )
        self.parallel: Any = None
        self._client = client
        self._worker_number = worker_number
        self._group = object()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many batches are to run at once.

        ``None`` and -1 mean all workers that the cluster is to have, -2 all but one, and so on,
        at least one. More than there are workers is allowed: the rest waits in the queue.

        Raises
        ------
        ValueError
            ``n_jobs`` is 0.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            n_jobs = -1
        if n_jobs > 0:
            return n_jobs
        jobs = max(1, self._worker_number() + 1 + n_jobs)
        # joblib runs a call with one job in this process. Who asked for all workers of a cluster
        # that has one means that worker, so a `Parallel` object is told two: one waits in line.
        return max(jobs, 2) if self.parallel is not None else jobs

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        **_options: Any,
    ) -> int:
        """Prepare for the calls of one ``Parallel`` object; returns the number of jobs.

        Options for memory maps do not apply, since workers may be on other machines.
        """
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        return self.effective_n_jobs(n_jobs)

    def submit(
        self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None
    ) -> Future[Any]:
        """Send one batch; ``callback`` gets the future when it is done.

        Never raises: joblib calls it from its callbacks too, where an exception would be lost
        and the call would wait for ever.
        """
        future: Future[Any]
        try:
            future = self._client.submit_call(func, (), {}, self._group, wait=False)
        except Exception as error:  # noqa: BLE001  # see below
            # It belongs to the batch, and reaches the caller as the batch's outcome.
            future = Future()
            future.set_exception(error)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def apply_async(
        self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None
    ) -> Future[Any]:
        """Do what :meth:`submit` does: joblib before 1.5 calls it by this name."""
        return self.submit(func, callback)

    def compute_batch_size(self) -> int:
        """Return how many calls the next batch has: joblib's number, reached in fewer steps.

        joblib doubles the size of batches that are too short, and each step costs round trips.
        While a batch takes less than a twentieth of what it should, it grows at once to sixteen
        times its size, which is then still short.
        """
        state: Any = self
        duration, size = state._smoothed_batch_duration, state._effective_batch_size  # noqa: SLF001  # joblib has no other way
        wanted = int(super().compute_batch_size())
        if wanted == 2 * size and duration < self.MIN_IDEAL_BATCH_DURATION / _FAR_TOO_SHORT:
            wanted = state._effective_batch_size = _GROWTH * size  # noqa: SLF001  # joblib has no other way
        return wanted

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return the results of a batch, or raise what it raised."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel the batches that no worker has begun; the backend can be used again."""
        self._client.cancel_futures(self._client.open_futures(self._group))

    def terminate(self) -> None:
        """Forget what was learnt of batch sizes; connection and workers serve the next call."""
        self.reset_batch_stats()

    def get_nested_backend(self) -> tuple[SequentialBackend[Any], None]:
        """Return the backend for a ``Parallel`` inside a task: sequential.

        A worker has its share of the machine, and other workers have theirs.
        """
        level = (self.nesting_level or 0) + 1
        return SequentialBackend(nesting_level=level), None
