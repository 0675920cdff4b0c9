"""Takes over a cluster of the in-memory pair from another process, for ``test_memory_pair.py``.

Reads the pickled provider, container and name from standard input and prints, as JSON, what it
finds; then it leaves without a farewell.
"""

from __future__ import annotations

import json
import os
import pickle
import sys

from dockerparallel import DockerCluster


def main() -> None:
    """Reconnect, and compute."""
    provider, container, name = pickle.load(sys.stdin.buffer)  # noqa: S301 - the test's own
    cluster = DockerCluster(provider, container, job_queue_name=name, verbose=0)
    cluster.reconnect()
    with cluster.worker_container.executor() as executor:
        result = executor.submit(pow, 2, 10).result(timeout=20)
    found = {
        "pid": os.getpid(),
        "result": result,
        "numbers": cluster.worker_numbers(),
        "password": cluster.config.server_password,
        "port": cluster.config.server_port,
        "environment": cluster.state.worker_container.environment,
        "handles": cluster.state.provider.worker_handles(),  # type: ignore[attr-defined]
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
