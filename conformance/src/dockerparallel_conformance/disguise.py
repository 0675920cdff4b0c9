"""Containers that behave as the author's, but for one method."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from dockerparallel import DockerCluster, DockerContainer

if TYPE_CHECKING:
    from dockerparallel_conformance.subject import Subject


def disguised(container: DockerContainer, **methods: Any) -> DockerContainer:
    """Return a copy of a container with other methods.

    Its class has the name of the original, so that static data of the one fits the other.
    """
    original = type(container)
    names = {"__module__": original.__module__, "__qualname__": original.__qualname__}
    duplicate = container.copy()
    duplicate.__class__ = type(original.__name__, (original,), {**names, **methods})
    return duplicate


def configured_numbers(subject: Subject, limit: int, worker_number: int) -> list[int]:
    """Return for how many workers containers are configured, and handles stand.

    Starts a cluster of ``worker_number`` workers in containers that may hold ``limit``.
    """
    asked: list[int] = []
    original = type(subject.worker_container)

    def configure(self: DockerContainer, cluster: DockerCluster, number: int) -> DockerContainer:
        asked.append(number)
        return original.configure_worker_env(self, cluster, number)

    container = disguised(subject.worker_container, configure_worker_env=configure)
    container.max_worker_num = limit
    cluster = subject.cluster(worker_container=container)
    cluster.start_server()
    subject.wait_for_server(cluster)
    try:
        cluster.set_worker_number(worker_number)
    except Exception:
        # A container may refuse more workers than it holds: what it was asked for is known.
        if not asked or max(asked) <= limit:
            raise
    handles: list[str] = getattr(cluster.state.provider, "worker_handles", list)()
    return [*asked, *Counter(handles).values()]
