"""What the provider says of a container that has ended, without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockerparallel_local_docker_provider.engine import Engine
from dockerparallel_local_docker_provider.records import ContainerRecord
from dockerparallel_managed_provider import redacted

if TYPE_CHECKING:
    from dockerparallel import DockerCluster

_TAIL_LINES = 20


def death_of(cluster: DockerCluster, engine: Engine, record: ContainerRecord) -> str:
    """Return how a container has ended by itself, and the end of its log."""
    ending = engine.ending(record.id)
    if ending is None:
        return gone(record.handle)
    log = engine.log(record.id, _TAIL_LINES).rstrip()
    if not log:
        return f"{record.handle} (container {record.name}) {ending}. It has printed nothing."
    lines = "\n".join(f"    {line}" for line in redacted(cluster, log).splitlines())
    return f"{record.handle} (container {record.name}) {ending}. The end of its log:\n{lines}"


def gone(handle: str) -> str:
    """Return what is said of a container that the engine does not know any more."""
    return f"{handle} has gone: somebody has removed its container from the Docker engine."
