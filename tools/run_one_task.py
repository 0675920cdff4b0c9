"""Run one real task on a cluster of one worker, by what is installed and nothing else.

Run by ``nox -s wheels`` in an environment that holds only our wheels and their dependencies.
"""

from __future__ import annotations

import os

from joblib import Parallel, delayed

from dockerparallel import DockerCluster


def main() -> None:
    """Start a cluster, let a worker report its process, and check that it was not ours."""
    cluster = DockerCluster(
        provider="local-process",
        worker_container="redis-queue",
        worker_number=1,
        job_queue_name=f"one-task-{os.getpid()}",
    )
    with cluster:
        squares = Parallel()(delayed(pow)(number, 2) for number in range(5))
        with cluster.worker_container.executor() as executor:
            worker = executor.submit(os.getpid).result(timeout=60)
    if squares != [0, 1, 4, 9, 16] or worker == os.getpid():
        message = f"the worker gave {squares} and the process id {worker}, mine is {os.getpid()}"
        raise SystemExit(message)
    print(f"Process {worker} computed {squares} for process {os.getpid()}")


if __name__ == "__main__":
    main()
