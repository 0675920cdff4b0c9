"""The numbers that a user sees of the queue."""

from __future__ import annotations

import threading
from typing import Any

from dockerparallel_redis_queue_container.records import Numbers

_COUNTS = ("submitted", "done", "failed", "retried", "died", "task_bytes", "result_bytes")
_SHORTEST_SECONDS = 0.5


class Speedometer:
    """Tells how many tasks each worker finishes per second, from look to look. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: Numbers | None = None
        self._last: Numbers | None = None

    def read(self, numbers: Numbers) -> dict[str, float]:
        """Return the tasks per second of each live worker since the look before.

        Of a worker that was not there then, since its start. Looks that come within half a second
        of each other are compared with the same one.
        """
        with self._lock:
            if self._last is None or numbers.time - self._last.time >= _SHORTEST_SECONDS:
                self._before, self._last = self._last, numbers
            before = self._before
        return {worker["id"]: _speed(worker, numbers, before) for worker in numbers.workers}


def _speed(worker: dict[str, Any], now: Numbers, before: Numbers | None) -> float:
    name, since, finished = worker["id"], worker["started"], 0
    if before is not None and any(other["id"] == name for other in before.workers):
        since, finished = before.time, _finished(before, name)
    # Its machine's clock need not be the server's.
    seconds: float = max(now.time - since, _SHORTEST_SECONDS)
    return (_finished(now, name) - finished) / seconds


def _finished(numbers: Numbers, worker: str) -> int:
    return numbers.done.get(worker, 0) + numbers.failed.get(worker, 0)


def stats_of(numbers: Numbers, speeds: dict[str, float]) -> dict[str, Any]:
    """Return what ``RedisQueueWorkerContainer.stats`` does."""
    return {
        "waiting": numbers.waiting,
        "running": numbers.running,
        **{name: numbers.counts.get(name, 0) for name in _COUNTS},
        "tasks_per_second": sum(speeds.values()),
        "workers": [
            {
                **{name: worker[name] for name in ("id", "host", "pid", "python")},
                "done": numbers.done.get(worker["id"], 0),
                "failed": numbers.failed.get(worker["id"], 0),
                "tasks_per_second": speeds[worker["id"]],
            }
            for worker in numbers.workers
        ],
    }
