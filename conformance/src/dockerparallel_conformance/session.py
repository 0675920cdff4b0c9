"""A session of another process: ``python -m dockerparallel_conformance.session FOLDER``.

Started by ``other_process``. It makes a cluster of what it finds in the folder and ends; whether
the cluster is stopped is up to ``stop_on_exit`` alone.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

from dockerparallel import DockerCluster

# As in a user's script: the handle is there until the interpreter is left.
_clusters: list[DockerCluster] = []

REQUEST = "request.pickle"
ANSWER = "answer.json"


def start_cluster(
    options: dict[str, Any], stop_on_exit: bool, timeout: float
) -> tuple[DockerCluster, dict[str, Any]]:
    """Start a cluster, wait for its workers, and return it with what identifies it."""
    # The suite's own way of waiting; the hooks are not needed for it.
    from dockerparallel_conformance.hooks import Hooks  # noqa: PLC0415 - pytest comes with it
    from dockerparallel_conformance.stages import Stages  # noqa: PLC0415 - as above
    from dockerparallel_conformance.subject import Subject  # noqa: PLC0415 - as above

    cluster = DockerCluster(**options)
    cluster.stop_on_exit = stop_on_exit
    subject = Subject(
        provider=options["provider"],
        worker_container=options["worker_container"],
        server_container=options["server_container"],
        worker_number=options["worker_number"],
        options={},
        hooks=Hooks(),
        timeout=timeout,
        stages=Stages(None, timeout),
    )
    with subject.bounded():
        subject.start(cluster, options["worker_number"])
    return cluster, {
        "static_data": cluster.static_data(),
        "endpoint": cluster.server_address_for_client(),
        "numbers": cluster.worker_numbers(),
    }


def main(folder: Path) -> None:
    """Do what the request in the folder says, and write the answer beside it."""
    with (folder / REQUEST).open("rb") as file:
        path = pickle.load(file)  # noqa: S301 - written by our own parent, into its own folder
        sys.path[:] = path
        request = pickle.load(file)  # noqa: S301 - as above
    cluster, answer = start_cluster(**request)
    _clusters.append(cluster)
    (folder / ANSWER).write_text(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
