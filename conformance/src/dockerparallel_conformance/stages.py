"""Clusters that several checks use one after the other, since starting one takes long."""

from __future__ import annotations

import gc
import secrets
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dockerparallel import DockerCluster
from dockerparallel.state import ClusterState
from dockerparallel_conformance.alarm import TimeLimitReached, lift_limits, time_limit
from dockerparallel_conformance.errors import ConformanceWarning


class Stages:
    """The clusters that stand ready, by the name of the stage; one object for a whole run.

    A stage is made when a check first asks for it, and given up when a check that used it fails,
    so that no check meets what another has broken.
    """

    def __init__(self, backend_before: object, clean_up_timeout: float) -> None:
        self.backend_before = backend_before
        """What the session computed with before the suite began."""
        self._clean_up_timeout = clean_up_timeout
        self._clusters: dict[str, DockerCluster] = {}
        self._used: set[str] = set()
        self._elsewhere: set[str] = set()
        self.facts: dict[str, dict[str, Any]] = {}
        """What is known of a stage besides its cluster."""

    def get(
        self, stage: str, make: Callable[[], DockerCluster], *, elsewhere: bool = False
    ) -> DockerCluster:
        """Return the cluster of a stage; where there is none, ``make`` gives its handle.

        ``elsewhere`` says that another session has started it: to be ended, it must be taken
        over first.
        """
        self._used.add(stage)
        if stage not in self._clusters:
            self._clusters[stage] = make()
            if elsewhere:
                self._elsewhere.add(stage)
        return self._clusters[stage]

    def begin_check(self) -> None:
        """Note that no stage is in use."""
        self._used.clear()

    def give_up_used(self) -> None:
        """End the clusters that the check has used, so that the next ones begin anew."""
        for stage in self._used & self._clusters.keys():
            self._end(stage)

    def give_up(self, stage: str) -> None:
        """End the cluster of a stage, if there is one."""
        if stage in self._clusters:
            self._end(stage)

    def close(self) -> None:
        """End all clusters."""
        while self._clusters:
            self._end(next(reversed(self._clusters)))

    def _end(self, stage: str) -> None:
        # Kept until it is over: dropped before, the handle would stop the cluster in its own way.
        cluster = self._clusters.pop(stage)
        self.facts.pop(stage, None)
        end(cluster.state, self._clean_up_timeout, take_over=stage in self._elsewhere)


def end(state: ClusterState, timeout: float, *, take_over: bool = False) -> None:
    """Stop a cluster, of which perhaps no handle is left, in bounded time.

    ``take_over`` says to reconnect first, where the handle has not done so and the cluster still
    runs. What goes wrong becomes a warning: the checks of stopping are others.
    """
    name = state.config.job_queue_name
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with _no_collection(), time_limit(timeout):
                cluster = DockerCluster.from_state(state)
                if take_over and not state.active:
                    _take_over(cluster)
                cluster.stop(ignore_errors=True)
        except TimeLimitReached:
            caught_text = [f"it took longer than {timeout:g} s"]
        else:
            caught_text = [str(warning.message) for warning in caught]
        finally:
            lift_limits()
    if caught_text:
        warnings.warn(
            f"Ending the cluster {name!r} after a check: {'; '.join(caught_text)}",
            ConformanceWarning,
            stacklevel=2,
        )


def _take_over(cluster: DockerCluster) -> None:
    try:
        if cluster.exists():
            cluster.reconnect()
    except Exception as error:  # noqa: BLE001 - what was taken over before it can be stopped
        warnings.warn(f"it could not be taken over: {error}", ConformanceWarning, stacklevel=2)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the collector from finding a dropped handle, which would stop its cluster meanwhile."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def unique_name(prefix: str) -> str:
    """Return a ``job_queue_name`` that no other cluster has."""
    return f"{prefix[:50]}-{secrets.token_hex(4)}"
