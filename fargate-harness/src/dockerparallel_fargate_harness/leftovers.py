"""Remove what harnesses have left that were killed."""

from __future__ import annotations

import sys

import docker
from docker.errors import APIError

from dockerparallel_fargate_harness.process_identity import Owner
from dockerparallel_fargate_harness.removal import remove_container, remove_network

LABEL = "dockerparallel.fargate-harness"
"""The label of every container and network; its value is the id of the harness."""
LABEL_OWNER = "dockerparallel.fargate-harness.owner"
"""The label with the process of the harness."""


def remove_leftovers(client: docker.DockerClient) -> list[str]:
    """Remove containers and networks whose harness is surely dead; return their ids.

    Harnesses that start at the same time may all do so. A network that the engine does not remove,
    as where somebody's own container is attached to it, is told on stderr, and left to the next.
    """
    # The networks first: no harness whose networks are left can make another container then.
    networks = [
        network
        for network in client.networks.list(filters={"label": LABEL_OWNER})
        if _is_left((network.attrs or {}).get("Labels") or {})
    ]
    containers = [
        container
        for container in client.containers.list(
            all=True, filters={"label": LABEL_OWNER}, ignore_removed=True
        )
        if _is_left(container.labels)
    ]
    for container in containers:
        remove_container(client, str(container.id))
    for network in networks:
        try:
            remove_network(network)
        except APIError as error:
            sys.stderr.write(
                f"fargate-harness: a killed harness has left the network {network.name}, which the "
                f"engine does not remove: {error.explanation or error}\n"
            )
    return [str(one.id) for one in (*containers, *networks)]


def _is_left(labels: dict[str, str]) -> bool:
    owner = Owner.parse(labels.get(LABEL_OWNER, ""))
    return owner is not None and owner.surely_dead()
