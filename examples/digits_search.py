"""Search the hyper-parameters of a classifier of handwritten digits, serially and on a cluster.

``nox -s demo`` runs it on processes of this machine, ``nox -s demo -- --provider local-docker`` in
containers; ``nox -s demo -- --help`` lists its options.
All but `search` is about the cluster: starting it, watching it grow, and showing that nothing of
it is left.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sklearn
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from dockerparallel import DockerCluster, DockerContainer
from dockerparallel.presets import resolve_container

GRID = {"C": [0.1, 1, 10, 100], "gamma": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]}
CANDIDATES = math.prod(len(values) for values in GRID.values())
# How long ended processes may take to be gone.
GONE_SECONDS = 10.0
PROC = Path("/proc")


def search(folds: int) -> GridSearchCV:
    """Run the search, as any scikit-learn user would: not a word about a cluster."""
    digits = load_digits()
    return GridSearchCV(SVC(), GRID, cv=folds).fit(digits.data, digits.target)


def timed_search(folds: int) -> tuple[GridSearchCV, float]:
    """Run the search and return it with the seconds that it took."""
    start = time.perf_counter()
    found = search(folds)
    return found, time.perf_counter() - start


def watch(
    cluster: DockerCluster, finished: threading.Event, fits: int, grow_to: int, grow_after: float
) -> None:
    """Show a progress bar until `finished`, and grow the cluster after a third of the work.

    joblib may send several short fits as one task, so fewer tasks are done than fits. Where that
    hides the third, the cluster grows after `grow_after` seconds.
    """
    grown = False
    start = time.monotonic()
    # The cluster's messages shall stand above the bar, not in it.
    above = logging_redirect_tqdm([logging.getLogger("dockerparallel")])
    with above, tqdm(total=fits, unit="fit", file=sys.stdout) as bar:
        while not finished.wait(0.2):
            done = cluster.worker_container.stats()["done"]
            bar.update(min(done, fits) - bar.n)
            if not grown and (done >= fits / 3 or time.monotonic() - start >= grow_after):
                bar.write(f"About a third is done: growing to {grow_to} workers")
                cluster.set_worker_number(grow_to)
                grown = True
        bar.update(fits - bar.n)


def search_on(
    cluster: DockerCluster, folds: int, grow_to: int, grow_after: float
) -> tuple[GridSearchCV, float]:
    """Run the search on a started cluster under the eyes of `watch`."""
    finished = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        fits = CANDIDATES * folds
        watching = pool.submit(watch, cluster, finished, fits, grow_to, grow_after)
        try:
            found, seconds = timed_search(folds)
        finally:
            finished.set()
        watching.result()
    return found, seconds


def make_container(name: str, image: str | None, provider: str) -> DockerContainer:
    """Return the worker container; what its image lacks, each worker installs as it starts."""
    container = resolve_container(name)
    if image is not None:
        container.image = image
    elif provider != "local-process" and hasattr(container, "add_pip_packages"):
        container.add_pip_packages(f"scikit-learn=={sklearn.__version__}")
    return container


def containers_of(cluster: DockerCluster) -> dict[str, str]:
    """Return the names of the containers by what their programs take for the machine's name."""
    view = cluster.cloud_provider
    return dict(view.containers()) if "containers" in dir(view) else {}


def print_workers(workers: list[dict[str, Any]], containers: dict[str, str]) -> None:
    """Print which worker processes took part, where, and how many tasks each did."""
    for worker in workers:
        host = worker["host"]
        place = f"in the container {containers[host]}" if host in containers else f"on {host}"
        where = f"process {worker['pid']} {place} (Python {worker['python']})"
        print(f"  {where}: {worker['done']} tasks")


def is_same(serial: GridSearchCV, found: GridSearchCV) -> bool:
    """Tell whether two searches found the same, each candidate's score included."""
    scores = [result.cv_results_["mean_test_score"].tolist() for result in (serial, found)]
    return bool(serial.best_params_ == found.best_params_ and scores[0] == scores[1])


def is_alive(pid: int) -> bool:
    """Tell whether a process of this machine and this user runs."""
    command_line = PROC / str(pid) / "cmdline"
    try:
        os.kill(pid, 0)
        # On Linux, a process without a command line has ended, and waits to be reaped.
        return not PROC.exists() or command_line.read_bytes() != b""
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until_dead(pids: list[int]) -> list[int]:
    """Wait up to `GONE_SECONDS` for processes to end, and return those that did not."""
    deadline = time.monotonic() + GONE_SECONDS
    while (alive := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Search hyper-parameters on a cluster.")
    parser.add_argument("--provider", default="local-process", help="where (default: %(default)s)")
    parser.add_argument("--container", default="redis-queue", help="what (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="at first; twice as many later")
    parser.add_argument("--folds", type=int, default=10, help="of each candidate's validation")
    parser.add_argument("--image", help="that has scikit-learn (default: the container's own)")
    return parser.parse_args()


def what_is_left(cluster: DockerCluster, local: bool, workers: list[dict[str, Any]]) -> list[str]:
    """Return what a stopped cluster has left behind: on this machine, down to each process."""
    left = ["the cluster"] if cluster.exists() else []
    if local:
        pids = wait_until_dead([worker["pid"] for worker in workers])
        left += [f"worker process {pid}" for pid in pids]
    view = cluster.cloud_provider
    if "list_clusters" in dir(view):
        own_name = cluster.config.job_queue_name
        left += [f"{other}" for other in view.list_clusters() if other.name == own_name]
    return left


def main() -> int:
    """Search serially and on a cluster; return 1 where the results differ or something is left."""
    options = parse_arguments()
    print(f"Serial search: {CANDIDATES} candidates, {options.folds} fits each")
    serial, serial_seconds = timed_search(options.folds)
    print(f"  {serial.best_params_}, score {serial.best_score_:.4f}")

    print(f"The same search on {options.workers} workers of {options.provider}")
    cluster = DockerCluster(
        provider=options.provider,
        worker_container=make_container(options.container, options.image, options.provider),
        worker_number=options.workers,
        job_queue_name=f"digits-search-{os.getpid()}",
    )
    with cluster:
        half_of_the_time = serial_seconds / options.workers / 2
        found, seconds = search_on(
            cluster, options.folds, grow_to=2 * options.workers, grow_after=half_of_the_time
        )
        workers = cluster.worker_container.stats()["workers"]
        containers = containers_of(cluster)
    print(f"  {found.best_params_}, score {found.best_score_:.4f}")
    print(f"Serial: {serial_seconds:.1f} s. On the cluster: {seconds:.1f} s.")
    print("Worker processes that took part (several short fits are one task):")
    print_workers(workers, containers)

    same = is_same(serial, found)
    left = what_is_left(cluster, options.provider == "local-process", workers)
    print("Both searches found the same." if same else "FAILED: the two searches differ.")
    print(f"FAILED, left behind: {', '.join(left)}" if left else "Nothing is left running.")
    return int(not same or bool(left))


if __name__ == "__main__":
    sys.exit(main())
