"""Finding and removing clusters of an engine, also those whose session is gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dockerparallel import ProviderError
from dockerparallel_local_docker_provider import labels
from dockerparallel_local_docker_provider.engine import Engine
from dockerparallel_local_docker_provider.labels import Role
from dockerparallel_local_docker_provider.launch import end
from dockerparallel_local_docker_provider.records import ContainerRecord, NetworkRecord


class EngineCluster(NamedTuple):
    """A cluster on a Docker engine, as its labels show it.

    Parameters
    ----------
    name
        Its ``job_queue_name``.
    owner
        Who started it, as ``user@host``.
    server_runs
        Whether its server runs; a cluster with an external server has none.
    worker_number
        How many of its workers run.
    containers, networks
        The names of all that the engine has of it, containers that have ended included.
    version
        The version of the provider that started it.
    """

    name: str
    owner: str
    server_runs: bool
    worker_number: int
    containers: tuple[str, ...]
    networks: tuple[str, ...]
    version: str


def list_clusters(engine: Engine) -> list[EngineCluster]:
    """Return the clusters of an engine by name, those included of which nothing runs."""
    containers = engine.containers({labels.CLUSTER: ""})
    networks = engine.networks({labels.CLUSTER: ""})
    names = {r.cluster for r in containers} | {n.labels[labels.CLUSTER] for n in networks}
    return [
        _described(
            name,
            [record for record in containers if record.cluster == name],
            [network for network in networks if network.labels[labels.CLUSTER] == name],
        )
        for name in sorted(names)
    ]


def _described(
    name: str, containers: list[ContainerRecord], networks: list[NetworkRecord]
) -> EngineCluster:
    marks = containers[0].labels if containers else networks[0].labels
    return EngineCluster(
        name=name,
        owner=marks.get(labels.OWNER, ""),
        server_runs=any(r.role == Role.SERVER and r.lives for r in containers),
        worker_number=sum(r.workers for r in containers if r.lives),
        containers=tuple(record.name for record in containers),
        networks=tuple(network.name for network in networks),
        version=marks.get(labels.VERSION, ""),
    )


def remove(
    engine: Engine,
    containers: Iterable[ContainerRecord],
    networks: Iterable[NetworkRecord],
    *,
    timeout: float,
    at_a_time: int,
) -> None:
    """End these containers, and remove them and the networks. Idempotent.

    Raises
    ------
    ProviderError
        A container is still there; the networks are, too.
    EngineError
        The engine does not remove a network, as where somebody's own container is attached.
    """
    left = end(engine, list(containers), timeout=timeout, at_a_time=at_a_time)
    if left:
        raise ProviderError(
            f"{len(left)} container(s) are still there: {', '.join(r.name for r in left)}. Look at "
            "them by 'docker ps --all', remove them by 'docker rm --force', and try again."
        )
    for network in networks:
        engine.remove_network(network.id)


def remove_cluster(engine: Engine, name: str, *, timeout: float, at_a_time: int) -> tuple[int, int]:
    """End and remove all that an engine has of clusters of a name; see :func:`remove`.

    Returns how many containers and networks that was.
    """
    mark = {labels.CLUSTER: name}
    containers, networks = engine.containers(mark), engine.networks(mark)
    remove(engine, containers, networks, timeout=timeout, at_a_time=at_a_time)
    return len(containers), len(networks)
