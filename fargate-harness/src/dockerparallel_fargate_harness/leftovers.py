"""Remove what harnesses have left that were killed."""

from __future__ import annotations

import docker
from docker.errors import APIError, NotFound

from dockerparallel_fargate_harness.process_identity import Owner

LABEL = "dockerparallel.fargate-harness"
"""The label of every container and network; its value is the id of the harness."""
LABEL_OWNER = "dockerparallel.fargate-harness.owner"
"""The label with the process of the harness."""


def remove_leftovers(client: docker.DockerClient) -> list[str]:
    """Remove containers and networks whose harness is surely dead; return their ids."""
    removed = []
    for container in client.containers.list(
        all=True, filters={"label": LABEL_OWNER}, ignore_removed=True
    ):
        if _is_left(container.labels):
            removed.append(str(container.id))
            _gone(lambda one=container: one.remove(force=True, v=True))
    for network in client.networks.list(filters={"label": LABEL_OWNER}):
        if _is_left((network.attrs or {}).get("Labels") or {}):
            removed.append(str(network.id))
            _gone(network.remove)
    return removed


def _is_left(labels: dict[str, str]) -> bool:
    owner = Owner.parse(labels.get(LABEL_OWNER, ""))
    return owner is not None and owner.surely_dead()


def _gone(remove: object) -> None:
    try:
        remove()  # type: ignore[operator]
    except NotFound:
        # Another harness that starts at the same time was faster.
        return
    except APIError as error:
        if error.status_code != 409:  # noqa: PLR2004
            raise
        # The other one is removing it right now.
