"""The cluster on whose behalf extension code runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from dockerparallel.errors import NoCurrentClusterError

if TYPE_CHECKING:
    from dockerparallel.cluster import DockerCluster

_current: ContextVar[DockerCluster] = ContextVar("dockerparallel_current_cluster")


def current_cluster() -> DockerCluster:
    """Return the cluster on whose behalf this code runs.

    Called by extension code: by exported functions that do not declare ``cluster``, and by
    anything that they or the methods of a provider or container call. It is a context variable:
    each thread and each asyncio task sees its own; a thread that the extension starts sees none.

    Raises
    ------
    NoCurrentClusterError
        The code was not called by a cluster or through one of its views.
    """
    try:
        return _current.get()
    except LookupError:
        raise NoCurrentClusterError(
            "There is no current cluster here: current_cluster() works in code that a cluster "
            "calls, such as an exported function. Elsewhere, pass the cluster as an argument."
        ) from None


@contextmanager
def cluster_context(cluster: DockerCluster) -> Iterator[None]:
    """Make ``cluster`` the current one within the block."""
    token = _current.set(cluster)
    try:
        yield
    finally:
        _current.reset(token)
