"""How fast tasks go through the queue: redis-queue beside the executors that users compare it with.

Each contender has two workers on this machine and runs in a process of its own, one after the
other, round after round: the figures of a shared machine only mean something beside each other.
So each target is a ratio to a peer in the same round; the median of the ratios decides.

``nox -s bench`` runs it, prints a table in Markdown and writes
``queue_speed.json``; ``--contenders`` names some of them. A contender that is not installed is
left out, with a line that says so.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import redis
from joblib import Parallel, delayed
from joblib.externals.loky import ProcessPoolExecutor as LokyExecutor

WORKERS = 2
LIMIT_SECONDS = 300.0
PAYLOAD_BYTES = 8 * 1024 * 1024
PAYLOADS = 32
SLEEP_SECONDS = 0.01
SLEEPS = 400
ROUND_TRIPS = 300
SKEWED = [SLEEP_SECONDS] * 90 + [100 * SLEEP_SECONDS] * 10
random.Random(1).shuffle(SKEWED)  # noqa: S311  # no secret
SHARERS = 100
# Times the number of single submits.
JOBLIB_TASKS = 40

COLUMNS = {
    "first_result_s": "first result, s",
    "submits_per_s": "no-op submits/s",
    "round_trip_ms": "round trip p50, ms",
    "round_trip_p99_ms": "p99, ms",
    "sleep_share": f"{SLEEPS} x 10 ms, share of ideal",
    "skewed_share": "10% of them 1 s, share of ideal",
    "payload_mb_per_s": f"{PAYLOADS} x 8 MB, MB/s",
    "result_mb_per_s": f"{PAYLOADS} results of 8 MB, MB/s",
    "shared_copies": f"copies sent of 8 MB shared by {SHARERS}",
    "joblib_per_s": "joblib no-ops/s",
}


class Target(NamedTuple):
    """What is wanted of us: a figure, its ratio to a peer's where there is one, and a bound."""

    figure: str
    peer: str | None
    at_least: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        of_peer = f" / {self.peer}" if self.peer else ""
        bound = f">= {self.at_least:g}" if self.at_most is None else f"<= {self.at_most:g}"
        return f"{COLUMNS[self.figure]}{of_peer} {bound}"

    def is_met(self, value: float) -> bool:
        """Tell whether the value is within the bound."""
        return value >= self.at_least if self.at_least is not None else value <= self._most

    @property
    def _most(self) -> float:
        return float("inf") if self.at_most is None else self.at_most


TARGETS = (
    Target("first_result_s", "dask", at_most=1),
    Target("first_result_s", "ray", at_most=1),
    Target("submits_per_s", "loky", at_least=3),
    Target("submits_per_s", "dask", at_least=20),
    Target("submits_per_s", "ray", at_least=20),
    Target("round_trip_ms", "loky", at_most=2),
    Target("sleep_share", None, at_least=0.97),
    Target("skewed_share", None, at_least=0.97),
    Target("payload_mb_per_s", "loky", at_least=0.8),
    Target("result_mb_per_s", "loky", at_least=0.8),
    Target("shared_copies", None, at_most=1.01 * WORKERS),
    Target("joblib_per_s", "loky", at_least=1),
)


def nothing(_: int) -> None:
    """Do nothing."""


def sleep(_: int) -> None:
    """Take as long as a short task."""
    time.sleep(SLEEP_SECONDS)


def sleep_for(seconds: float) -> None:
    """Take so long."""
    time.sleep(seconds)


def give(size: int) -> bytes:
    """Return so many bytes."""
    return b"x" * size


def earliest_end(durations: list[float]) -> float:
    """Return when tasks end that are begun in their order, each by the first idle worker."""
    ends = [0.0] * WORKERS
    for duration in durations:
        ends[ends.index(min(ends))] += duration
    return max(ends)


class Contender(NamedTuple):
    """What is measured.

    Parameters
    ----------
    module
        What must be installed.
    executor
        Starts two workers for the block and gives ``submit``.
    joblib
        Makes the contender joblib's backend for the block; ``None`` where it has none.
    """

    module: str
    executor: Callable[[], contextlib.AbstractContextManager[Callable[..., Any]]]
    joblib: Callable[[], contextlib.AbstractContextManager[None]] | None = None


SERVER: dict[str, redis.Redis] = {}


def sent_by_server() -> int:
    """Return how many bytes our server has sent."""
    found: Any = SERVER["connection"].info("stats")
    return int(found["total_net_output_bytes"])


@contextlib.contextmanager
def ours() -> Iterator[Callable[..., Future[Any]]]:
    """Run a cluster of processes; joblib computes on it meanwhile."""
    from dockerparallel import DockerCluster  # noqa: PLC0415 - its import is a part of its start

    cluster = DockerCluster(
        "local-process",
        "redis-queue",
        worker_number=WORKERS,
        job_queue_name=f"bench-{os.getpid()}",
        verbose=0,
    )
    with cluster, cluster.worker_container.executor() as executor:
        address, password = cluster.server_address_for_client(), cluster.config.server_password
        SERVER["connection"] = redis.Redis(address.host, address.port, password=password)
        yield executor.submit
        SERVER.pop("connection").close()


@contextlib.contextmanager
def pool() -> Iterator[Callable[..., Future[Any]]]:
    """Run the pool of the standard library."""
    with ProcessPoolExecutor(WORKERS) as executor:
        yield executor.submit


@contextlib.contextmanager
def loky() -> Iterator[Callable[..., Future[Any]]]:
    """Run joblib's own pool."""
    executor: Executor = LokyExecutor(WORKERS)
    with executor:
        yield executor.submit


@contextlib.contextmanager
def dask() -> Iterator[Callable[..., Any]]:
    """Run Dask's cluster of this machine; joblib computes on it where it is asked to."""
    distributed: Any = importlib.import_module("distributed")
    with (
        distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        # Without it, Dask takes calls with equal arguments for one.
        yield lambda function, *arguments: client.submit(function, *arguments, pure=False)


@contextlib.contextmanager
def ray() -> Iterator[Callable[..., Any]]:
    """Run Ray on this machine."""
    import ray as library  # noqa: PLC0415 - as above

    library.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    remotes: dict[Any, Any] = {}

    def submit(function: Callable[..., Any], *arguments: Any) -> Any:
        if function not in remotes:
            # Ray itself takes no builtin function.
            def call(*given: Any) -> Any:
                return function(*given)

            remotes[function] = library.remote(call)
        return remotes[function].remote(*arguments)

    try:
        yield submit
    finally:
        library.shutdown()


@contextlib.contextmanager
def nothing_to_do() -> Iterator[None]:
    """Leave joblib's default as it is."""
    yield


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """Make a backend joblib's for the block."""
    from joblib import parallel_config  # noqa: PLC0415 - only where it is needed

    if name == "ray":
        from ray.util.joblib import register_ray  # noqa: PLC0415 - as above

        register_ray()
    with parallel_config(backend=name, n_jobs=WORKERS):
        yield


CONTENDERS = {
    "redis-queue": Contender("dockerparallel_redis_queue_container", ours, nothing_to_do),
    "concurrent.futures": Contender("concurrent.futures", pool),
    "loky": Contender("joblib", loky, lambda: backend("loky")),
    "dask": Contender("distributed", dask, lambda: backend("dask")),
    "ray": Contender("ray", ray, lambda: backend("ray")),
}


def result_of(future: Any) -> Any:
    """Return the result of a future of any contender."""
    if hasattr(future, "result"):
        return future.result(LIMIT_SECONDS)
    import ray as library  # noqa: PLC0415 - only Ray's have no such method

    return library.get(future, timeout=LIMIT_SECONDS)


def seconds(action: Callable[[], Any]) -> float:
    """Return how long an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def all_of(submit: Callable[..., Any], function: Callable[..., Any], arguments: list[Any]) -> None:
    """Submit one task for each argument, and wait for all."""
    for future in [submit(function, argument) for argument in arguments]:
        result_of(future)


def measure(contender: Contender, submits: int) -> dict[str, float]:
    """Return the figures of one contender, which is started for it."""
    began = time.perf_counter()
    with contender.executor() as submit:
        result_of(submit(nothing, 0))
        found = {"first_result_s": time.perf_counter() - began}
        all_of(submit, nothing, list(range(200)))
        spent = seconds(lambda: all_of(submit, nothing, list(range(submits))))
        found["submits_per_s"] = submits / spent
        trips = [seconds(lambda: result_of(submit(nothing, 0))) for _ in range(ROUND_TRIPS)]
        found["round_trip_ms"] = 1000 * statistics.median(trips)
        found["round_trip_p99_ms"] = 1000 * statistics.quantiles(trips, n=100)[-1]
        spent = seconds(lambda: all_of(submit, sleep, list(range(SLEEPS))))
        found["sleep_share"] = SLEEPS * SLEEP_SECONDS / WORKERS / spent
        spent = seconds(lambda: all_of(submit, sleep_for, SKEWED))
        found["skewed_share"] = earliest_end(SKEWED) / spent
        payloads = [os.urandom(PAYLOAD_BYTES) for _ in range(PAYLOADS)]
        spent = seconds(lambda: all_of(submit, len, payloads))
        found["payload_mb_per_s"] = PAYLOADS * PAYLOAD_BYTES / 2**20 / spent
        spent = seconds(lambda: all_of(submit, give, [PAYLOAD_BYTES] * PAYLOADS))
        found["result_mb_per_s"] = PAYLOADS * PAYLOAD_BYTES / 2**20 / spent
        if SERVER:
            shared, before = os.urandom(PAYLOAD_BYTES), sent_by_server()
            all_of(submit, len, [shared] * SHARERS)
            found["shared_copies"] = (sent_by_server() - before) / PAYLOAD_BYTES
        if contender.joblib is not None:
            with contender.joblib():
                # So many that it does not matter that joblib looks for results each 10 ms only.
                tasks = [delayed(nothing)(number) for number in range(JOBLIB_TASKS * submits)]
                Parallel()(tasks[:200])
                spent = statistics.median(seconds(lambda: Parallel()(tasks)) for _ in range(7))
                found["joblib_per_s"] = len(tasks) / spent
    return found


def in_a_process(name: str, submits: int) -> dict[str, float]:
    """Measure one contender in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.queue_speed", "--one", name, "--submits", str(submits)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=LIMIT_SECONDS,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(medians: dict[str, dict[str, float]]) -> Iterator[str]:
    """Give the lines of a table in Markdown."""
    yield f"| | {' | '.join(COLUMNS.values())} |"
    yield f"|---{'|---' * len(COLUMNS)}|"
    for name, row in medians.items():
        cells = [f"{row[key]:,.3g}" if key in row else "" for key in COLUMNS]
        yield f"| {name} | {' | '.join(cells)} |"


def verdicts(rounds: dict[str, list[dict[str, float]]]) -> Iterator[str]:
    """Give a line for each target that can be judged."""
    mine = rounds.get("redis-queue", [])
    for target in TARGETS:
        theirs = rounds.get(target.peer or "redis-queue", [])
        if not mine or not theirs:
            yield f"- not measured: {target}"
            continue
        ratios = [
            row[target.figure] / (other[target.figure] if target.peer else 1)
            for row, other in zip(mine, theirs, strict=True)
        ]
        value = statistics.median(ratios)
        spread = f"{min(ratios):.3g} to {max(ratios):.3g}"
        yield f"- {'met' if target.is_met(value) else 'MISSED'}: {target}: {value:.3g} ({spread})"


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument("--submits", type=int, default=5000, help="no-ops (default: %(default)s)")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--output", type=Path, default=Path("queue_speed.json"))
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(CONTENDERS[options.one], options.submits)))
        return 0
    names = []
    for name in options.contenders:
        if importlib.util.find_spec(CONTENDERS[name].module) is None:
            print(f"{name} is not installed, and left out.", file=sys.stderr)
        else:
            names.append(name)
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(options.repeat):
        for name in names:
            rounds[name].append(in_a_process(name, options.submits))
            print(name, rounds[name][-1], file=sys.stderr)
    medians = {
        name: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        for name, rows in rounds.items()
    }
    options.output.write_text(json.dumps({"medians": medians, "rounds": rounds}, indent=1))
    print(f"\nMedians of {options.repeat}, {WORKERS} workers:\n")
    print("\n".join(table(medians)))
    print("\nTargets, with the median, least and greatest ratio of the rounds:\n")
    print("\n".join(verdicts(rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
