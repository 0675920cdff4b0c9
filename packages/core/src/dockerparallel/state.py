"""All that a cluster is, apart from the user's handle on it.

``DockerCluster`` is a thin handle; everything else hangs on its state. The state knows no handle,
so that dropping the handle is noticed, and it can be wrapped in a fresh handle to stop the cluster
(``DockerCluster.from_state``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dockerparallel.config import CloudConfig
from dockerparallel.container import DockerContainer
from dockerparallel.context import cluster_context
from dockerparallel.external_server import ExternalServer
from dockerparallel.log import ClusterLogger
from dockerparallel.provider import CloudProvider
from dockerparallel.runtime import CloudRuntime
from dockerparallel.validation import check_bool, check_int

if TYPE_CHECKING:
    from dockerparallel.cluster import DockerCluster

DEFAULT_SERVER_TIMEOUT = 600.0
"""Seconds that ``register_backend`` waits for a server that initializes."""


class ClusterState:
    """The objects, settings and facts of one cluster.

    Extension code reaches it as ``cluster.state``.

    Attributes
    ----------
    provider
        The cluster's own copy of the provider.
    server_container
        The cluster's own copy, not configured; ``None`` where the server is external and the
        worker container makes none.
    worker_container
        The cluster's own copy, not configured.
    config, runtime
        Settings, and what is known of the server and workers.
    external_server
        The external server, or ``None``.
    lock
        Re-entrant; held while a provider or container is called, but not across waits.
    owner_pid
        The process that made the cluster: only it stops the cluster by itself.
    initialized
        Whether the provider's ``initialize`` was called.
    server_started
        Whether a server was started, or found, that ``stop_server`` has not ended yet.
    registered
        Whether the parallel backend is registered.
    active
        Whether anything was started or taken over that a complete ``stop`` has not ended: a
        handle that only asked ``exists`` must not clean up under somebody else's cluster.
    starting
        Whether ``start`` is under way: a provider whose ``cleanup`` is called meanwhile takes back
        all that it made for a start that has failed.
    stopped
        Whether ``stop`` was the last word: ``update`` then starts nothing.
    server_stop_reason
        Why the last server stopped by itself, as far as the provider knows; else empty.
    requested_workers
        The number that the provider was last asked for.
    any_container_class
        Whether static data of another container class is passed over instead of refused: only
        while an old cluster is removed.
    server_timeout
        Seconds that ``register_backend`` waits for a server that initializes.
    """

    def __init__(
        self,
        *,
        provider: CloudProvider,
        server_container: DockerContainer | None,
        worker_container: DockerContainer,
        config: CloudConfig,
        external_server: ExternalServer | None,
        stop_on_exit: bool,
        verbose: int,
    ) -> None:
        self.provider = provider
        self.server_container = server_container
        self.worker_container = worker_container
        self.config = config
        self.runtime = CloudRuntime()
        self.external_server: ExternalServer | None = None
        self.lock = threading.RLock()
        self.owner_pid = os.getpid()
        self.initialized = False
        self.server_started = False
        self.registered = False
        self.active = False
        self.starting = False
        self.stopped = False
        self.server_stop_reason = ""
        self.requested_workers = 0
        self.any_container_class = False
        self.server_timeout = DEFAULT_SERVER_TIMEOUT
        self.stop_on_exit = check_bool("stop_on_exit", stop_on_exit)
        self.logger = ClusterLogger(lambda: config.job_queue_name, check_verbose(verbose))
        if external_server is not None:
            self.use_external_server(external_server)

    def use_external_server(self, server: ExternalServer) -> None:
        """Take ``server`` for the cluster's: its flags and password replace the config's."""
        self.external_server = server
        self.config.server_worker_same_lan = server.server_worker_same_lan
        self.config.server_client_same_lan = server.server_client_same_lan
        if server.password is not None:
            self.config.server_password = server.password
        self.runtime.record_server(server.address)
        self.runtime.server_from_other_source = True


def check_verbose(value: object) -> int:
    """Return ``value`` if it is a verbosity."""
    return check_int("verbose", value, minimum=0, maximum=2, hint="warnings, progress, detail")


@contextmanager
def extension_call(cluster: DockerCluster) -> Iterator[ClusterState]:
    """Hold the state's lock and make ``cluster`` current while extension code is called."""
    with cluster.state.lock, cluster_context(cluster):
        yield cluster.state


def warn_of_kept_handle(cluster: DockerCluster) -> None:
    """Tell the author of an extension that keeps the handle: it would never be collected."""
    state = cluster.state
    extensions = [state.provider, state.server_container, state.worker_container]
    for extension in filter(None, extensions):
        for name, value in vars(extension).items():
            if isinstance(value, type(cluster)):
                state.logger.warning(
                    "%s.%s keeps the cluster, which is then not stopped when it is dropped: keep "
                    "cluster.state, or what is needed of it, instead.",
                    type(extension).__name__,
                    name,
                )


def ensure_initialized(cluster: DockerCluster) -> None:
    """Call the provider's ``initialize`` unless that was done; idempotent."""
    with extension_call(cluster) as state:
        if not state.initialized:
            state.logger.debug("Initializing %s", type(state.provider).__name__)
            state.provider.initialize(cluster)
            state.initialized = True
