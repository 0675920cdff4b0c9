"""Looking for what harnesses have left on the Docker engine."""

from __future__ import annotations

import docker

from dockerparallel_fargate_harness.leftovers import LABEL


def remains(engine: docker.DockerClient, label: str = LABEL) -> list[str]:
    """Return the ids of the containers and networks with a label."""
    containers = engine.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    networks = engine.networks.list(filters={"label": label})
    return [str(one.id) for one in [*containers, *networks]]
