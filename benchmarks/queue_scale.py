"""What the queue costs as it grows: more tasks, and more workers on one server.

``nox -s bench -- queue_scale`` prints two tables in Markdown and writes ``queue_scale.json``:

- for growing numbers of tasks, the client's processor time and memory, the server's commands and
  what is left in its memory, each for ``submit``, ``map`` with a buffer and joblib generators;
- for growing numbers of worker processes, the throughput of no-ops, which the cores of the machine
  bound, and of tasks that sleep, which bound it less the longer they are.

Each line is measured in a process of its own, on a cluster of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

LIMIT_SECONDS = 900.0
BUFFER = 1000
SLEEPS = (0.1, 1.0)

TASK_COLUMNS = {
    "way": "",
    "tasks": "tasks",
    "per_s": "tasks/s",
    "client_us": "client CPU, us/task",
    "client_mb": "client's memory grows by, MB",
    "commands": "server commands/task",
    "peak_mb": "server's memory grows by, MB",
    "left_kb": "of that left after, kB",
}
WORKER_COLUMNS = {
    "workers": "workers",
    "start_s": "start, s",
    "per_s": "no-ops/s",
    **{
        f"{seconds:g}_s_per_s": f"{seconds:g} s tasks/s (and their share of the ideal)"
        for seconds in SLEEPS
    },
}


def nothing(_: int) -> None:
    """Do nothing."""


def get_ready(_: int) -> None:
    """Keep a worker busy, so that the next one goes to another."""
    time.sleep(SLEEPS[-1])


def by_submit(executor: Any, count: int) -> None:
    """Submit all, and then wait for all."""
    for future in [executor.submit(nothing, number) for number in range(count)]:
        future.result(LIMIT_SECONDS)


def by_map(executor: Any, count: int) -> None:
    """Map with a bounded number of tasks in flight."""
    deque(executor.map(nothing, range(count), buffersize=BUFFER), maxlen=0)


def by_joblib(_executor: Any, count: int) -> None:
    """Take joblib's results as they come."""
    from joblib import Parallel, delayed  # noqa: PLC0415 - only where it is needed

    calls = (delayed(nothing)(number) for number in range(count))
    deque(Parallel(return_as="generator_unordered")(calls), maxlen=0)


WAYS: dict[str, Callable[[Any, int], None]] = {
    "submit": by_submit,
    f"map, buffersize={BUFFER}": by_map,
    "joblib, generator_unordered": by_joblib,
}


def running_cluster(workers: int) -> Any:
    """Return a cluster of processes, not started, with up to 50 workers in each container."""
    from dockerparallel import DockerCluster  # noqa: PLC0415 - its import is a part of the client
    from dockerparallel_redis_queue_container import RedisQueueWorkerContainer  # noqa: PLC0415

    return DockerCluster(
        "local-process",
        RedisQueueWorkerContainer(max_worker_num=50),
        worker_number=workers,
        worker_memory=64,
        job_queue_name=f"scale-{os.getpid()}",
        verbose=0,
    )


def connection_of(cluster: Any) -> redis.Redis:
    """Return a connection to the server of a cluster."""
    address = cluster.server_address_for_client()
    return redis.Redis(address.host, address.port, password=cluster.config.server_password)


def commands_of(server: redis.Redis) -> int:
    """Return how many commands clients and workers have sent; those of scripts are not counted."""
    stats: Any = server.info("commandstats")
    sent = ("evalsha", "eval", "blpop", "expire", "hexists", "set", "get")
    return sum(stats[f"cmdstat_{name}"]["calls"] for name in sent if f"cmdstat_{name}" in stats)


def memory_of(server: redis.Redis) -> int:
    """Return the bytes that the server uses for data, without connections and its own."""
    memory: Any = server.memory_stats()
    return int(memory["dataset.bytes"])


def measure_tasks(way: str, count: int) -> dict[str, Any]:
    """Return the figures of one way of giving work, with two workers."""
    with running_cluster(2) as cluster, cluster.worker_container.executor() as executor:
        server = connection_of(cluster)
        WAYS[way](executor, 200)
        commands, data = commands_of(server), memory_of(server)
        server.config_resetstat()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        peak = int(server.info("memory")["used_memory"])
        began = time.perf_counter()
        WAYS[way](executor, count)
        spent = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
        commands = commands_of(server)
        highest = int(server.info("memory")["used_memory_peak"])
        left = memory_of(server)
        server.close()
        used = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
        return {
            "way": way,
            "tasks": count,
            "per_s": count / spent,
            "client_us": 1e6 * used / count,
            "client_mb": (after.ru_maxrss - usage.ru_maxrss) / 1024,
            "commands": commands / count,
            "peak_mb": (highest - peak) / 2**20,
            "left_kb": (left - data) / 1024,
        }


def measure_workers(count: int, submits: int) -> dict[str, Any]:
    """Return the figures of one number of workers."""
    began = time.perf_counter()
    with running_cluster(count) as cluster, cluster.worker_container.executor() as executor:
        while len(cluster.worker_container.stats()["workers"]) < count:
            time.sleep(0.05)
            if time.perf_counter() - began > LIMIT_SECONDS:
                raise TimeoutError(f"no {count} workers within {LIMIT_SECONDS:g} s")
        start = time.perf_counter() - began
        # Each imports the function before it is measured.
        list(executor.map(get_ready, range(2 * count)))
        rates = []
        for _ in range(3):
            began = time.perf_counter()
            by_submit(executor, submits)
            rates.append(submits / (time.perf_counter() - began))
        found: dict[str, Any] = {
            "workers": count,
            "start_s": start,
            "per_s": statistics.median(rates),
        }
        for seconds in SLEEPS:
            tasks = int(3 * count / seconds)
            began = time.perf_counter()
            list(executor.map(time.sleep, [seconds] * tasks))
            rate = tasks / (time.perf_counter() - began)
            found[f"{seconds:g}_s_per_s"] = f"{rate:,.4g} ({rate * seconds / count:.3f})"
    return found


def in_a_process(*arguments: object) -> dict[str, Any]:
    """Measure one line in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.queue_scale", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=2 * LIMIT_SECONDS,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(found, file=sys.stderr)
    return found


def table(rows: list[dict[str, Any]], columns: dict[str, str]) -> Iterator[str]:
    """Give the lines of a table in Markdown."""
    yield f"| {' | '.join(columns.values())} |"
    yield f"{'|---' * len(columns)}|"
    for row in rows:
        cells = [row[key] if isinstance(row[key], str) else f"{row[key]:,.4g}" for key in columns]
        yield f"| {' | '.join(cells)} |"


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, nargs="*", default=[2, 20, 100, 200])
    parser.add_argument("--submits", type=int, default=50_000, help="no-ops for each number")
    parser.add_argument("--output", type=Path, default=Path("queue_scale.json"))
    parser.add_argument("--one-way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--one-number", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_way:
        print(json.dumps(measure_tasks(options.one_way, options.tasks[0])))
        return 0
    if options.one_number:
        print(json.dumps(measure_workers(options.one_number, options.submits)))
        return 0
    tasks = [
        in_a_process("--one-way", way, "--tasks", count) for way in WAYS for count in options.tasks
    ]
    workers = [
        in_a_process("--one-number", count, "--submits", options.submits)
        for count in options.workers
    ]
    options.output.write_text(json.dumps({"tasks": tasks, "workers": workers}, indent=1))
    print("\nTwo workers:\n")
    print("\n".join(table(tasks, TASK_COLUMNS)))
    print(f"\nOne server, {os.cpu_count()} cores:\n")
    print("\n".join(table(workers, WORKER_COLUMNS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
