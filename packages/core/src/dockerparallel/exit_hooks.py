"""Stopping clusters that nobody holds any more, or whose process ends.

A finalizer watches each handle. It runs when the last reference to the handle is dropped, or at
interpreter exit, and holds the state alone.
"""

from __future__ import annotations

import os
import signal
import threading
import warnings
import weakref
from types import FrameType
from typing import TYPE_CHECKING

from dockerparallel.stopping import describe, stop_all

if TYPE_CHECKING:
    from dockerparallel.cluster import DockerCluster
    from dockerparallel.state import ClusterState

_live: weakref.WeakSet[ClusterState] = weakref.WeakSet()


def watch(cluster: DockerCluster) -> None:
    """Stop the cluster when its handle is gone or the interpreter exits."""
    _live.add(cluster.state)
    weakref.finalize(cluster, _stop_abandoned, type(cluster), cluster.state)


def is_running_here(state: ClusterState) -> bool:
    """Tell whether this process made the cluster and has something of it running."""
    return state.owner_pid == os.getpid() and state.active


def _stop_abandoned(handle_class: type[DockerCluster], state: ClusterState) -> None:
    if not (state.stop_on_exit and is_running_here(state)):
        return
    for error in stop_all(handle_class.from_state(state)):
        warnings.warn(
            f"Stopping the cluster {state.config.job_queue_name!r} failed: {describe(error)}",
            RuntimeWarning,
            stacklevel=2,
        )


def honour_sigterm() -> None:
    """Let SIGTERM end this process as ``sys.exit`` does, so that clusters are stopped.

    Called by each start. Installs a handler only on the main thread, and only where the default
    action stands: a handler of the program's own stays, and is expected to exit the usual way.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, _frame: FrameType | None) -> None:
    # The default comes back first: a second SIGTERM ends the process at once.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if any(state.stop_on_exit and is_running_here(state) for state in list(_live)):
        raise SystemExit(128 + number)
    os.kill(os.getpid(), number)
