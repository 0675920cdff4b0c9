"""The errors of DockerParallel, one tree with one root.

::

    DockerParallelError
    ├── InvalidValueError (ValueError)            a value out of its range or of the wrong form
    ├── InvalidTypeError (TypeError)              a value of the wrong type
    │   └── ContainerMismatchError                reconnecting with another container class
    ├── StaticDataError (ValueError)              stored cluster data that cannot be read
    ├── ExportedNameError (AttributeError)        a name that the extension does not export
    ├── ExtensionError
    │   ├── ExtensionNotFoundError (LookupError)  no installed extension has that name
    │   └── ExtensionConflictError (ValueError)   two distributions claim one name
    ├── ClusterStateError (RuntimeError)          the cluster is not in the state this needs
    │   ├── ClusterExistsError                    a cluster of that name runs already
    │   ├── ClusterNotFoundError (LookupError)    no cluster of that name runs
    │   ├── ClusterRunningError                   clean-up refused while server or workers run
    │   ├── ServerNotRunningError                 this needs a server, and none runs
    │   ├── WorkersSurvivedError                  workers outlived ``stop``
    │   └── NoCurrentClusterError (LookupError)   ``current_cluster`` outside an exported call
    ├── ServerContainerError (NotImplementedError) a server container must be given
    ├── WaitTimeoutError (TimeoutError)           a bounded wait ended without success
    ├── ProviderError (RuntimeError)              a provider could not do what was asked
    └── BackendError (RuntimeError)               the parallel backend could not be used
        └── BrokenClusterError (BrokenExecutor)   the cluster behind a future is gone

Catch the root to catch everything of ours, or the built-in in brackets as for any other library.
Extensions derive their own errors from these classes.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor


class DockerParallelError(Exception):
    """Root of all errors raised by DockerParallel and its extensions."""


class InvalidValueError(DockerParallelError, ValueError):
    """A value is out of its range or has the wrong form; nothing was started."""


class InvalidTypeError(DockerParallelError, TypeError):
    """A value has the wrong type; nothing was started."""


class ContainerMismatchError(InvalidTypeError):
    """The stored cluster uses another container class than the one that was given."""


class StaticDataError(DockerParallelError, ValueError):
    """Stored cluster data has a format that this version cannot read."""


class ExportedNameError(DockerParallelError, AttributeError):
    """A view was asked for a name that its extension does not export."""


class ExtensionError(DockerParallelError):
    """An extension could not be found or loaded."""


class ExtensionNotFoundError(ExtensionError, LookupError):
    """No installed distribution registers an extension of that name."""


class ExtensionConflictError(ExtensionError, ValueError):
    """Two installed distributions register the same extension name."""


class ClusterStateError(DockerParallelError, RuntimeError):
    """The cluster is not in the state that the call needs."""


class ClusterExistsError(ClusterStateError):
    """A cluster with this ``job_queue_name`` already exists on the provider."""


class ClusterNotFoundError(ClusterStateError, LookupError):
    """No cluster with this ``job_queue_name`` exists on the provider."""


class ClusterRunningError(ClusterStateError):
    """Clean-up was refused because the server or workers still run."""


class ServerNotRunningError(ClusterStateError):
    """The call needs a running server, or an address of it that does not exist."""


class WorkersSurvivedError(ClusterStateError):
    """``stop`` could not end all workers; the message names those that are left."""


class NoCurrentClusterError(ClusterStateError, LookupError):
    """``current_cluster()`` was called outside a call that came from a cluster."""


class ServerContainerError(DockerParallelError, NotImplementedError):
    """The worker container cannot make its server container: one must be given."""


class WaitTimeoutError(DockerParallelError, TimeoutError):
    """A wait reached its timeout; the message says what it waited for, and how long."""


class ProviderError(DockerParallelError, RuntimeError):
    """A provider could not do what the cluster asked of it."""


class BackendError(DockerParallelError, RuntimeError):
    """The parallel backend of a container could not be registered or used."""


class BrokenClusterError(BackendError, BrokenExecutor):
    """The cluster that a future or executor belongs to is gone."""
