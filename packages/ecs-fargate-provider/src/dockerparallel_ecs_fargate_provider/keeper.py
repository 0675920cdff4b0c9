"""Looking after a cluster while its session lives, without being asked."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dockerparallel import DockerCluster
    from dockerparallel.state import ClusterState

Look = Callable[["DockerCluster"], bool]

LOOK_SECONDS = 15.0
"""Between two looks: that Spot capacity is taken back is announced two minutes ahead."""


class Keeper:
    """A thread that looks after one cluster now and then.

    It holds neither the cluster nor its state: it ends when these are gone, when the cluster is
    stopped, or with :meth:`stop`. It is not there in a forked child.

    Parameters
    ----------
    seconds
        Between two looks.
    """

    def __init__(self, seconds: float = LOOK_SECONDS) -> None:
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel, and be copied, as one that looks after nothing yet."""
        return type(self), (self._seconds,)

    def start(self, cluster: DockerCluster, look: Look) -> None:
        """Begin to look after a cluster; idempotent.

        Parameters
        ----------
        look
            Called under the cluster's lock; returns whether the cluster needs an update.
        """
        if self._thread is not None and self._thread.is_alive() and not self._ended.is_set():
            return
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._run,
            args=(weakref.ref(cluster.state), type(cluster), look, self._ended),
            name=f"dockerparallel-keeper-{cluster.config.job_queue_name}",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """End the looking; does not wait, as it may be called under the cluster's lock."""
        self._ended.set()

    def _run(
        self,
        reference: weakref.ref[ClusterState],
        handle_class: type[DockerCluster],
        look: Look,
        ended: threading.Event,
    ) -> None:
        told = False
        while not ended.wait(self._seconds):
            state = reference()
            if state is None or state.stopped:
                return
            try:
                _look_after(handle_class.from_state(state), look, ended)
                told = False
            except Exception as error:  # noqa: BLE001 - the next look may succeed
                if not told:
                    state.logger.warning("The cluster could not be looked after: %s", error)
                told = True
            # Not held while it waits.
            del state


def _look_after(cluster: DockerCluster, look: Look, ended: threading.Event) -> None:
    with cluster.state.lock:
        needs_update = not ended.is_set() and look(cluster)
    if needs_update and not cluster.state.stopped:
        cluster.update()
