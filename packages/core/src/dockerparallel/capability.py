"""What an extension may offer beyond the minimum."""

from __future__ import annotations

from enum import StrEnum


class Capability(StrEnum):
    """Optional behaviour of a provider or container.

    Declared once, on the class: ``capabilities: ClassVar[frozenset[Capability]]``. A class that
    declares nothing claims what it overrides; a class that declares the set claims exactly that
    set. Claims are for people and for the conformance suite, which tests what is claimed and
    skips the rest with a reason. The cluster never withholds a call for want of a claim.
    """

    SERVER_STATUS = "server-status"
    """Provider: ``server_status`` asks the platform, so that a dead server is noticed."""

    WORKER_NUMBERS = "worker-numbers"
    """Provider: ``worker_numbers`` asks the platform, so that dead workers are noticed."""

    RECONNECT = "reconnect"
    """Provider: ``cluster_exists`` and ``reconnect`` find a cluster of another process."""

    CLEANUP = "cleanup"
    """Provider: ``cleanup`` removes what the provider made besides server and workers."""

    SHARED_CONTAINERS = "shared-containers"
    """Provider: several workers may run in one container, up to ``max_worker_num``."""

    SECRET_CHANNEL = "secret-channel"  # noqa: S105 - the name of a capability
    """Provider: secrets reach containers apart from the environment, where nobody lists them."""

    SERVER_CONTAINER = "server-container"
    """Container: ``server_container`` makes the server container of a worker container."""

    DEREGISTER = "deregister"
    """Container: ``deregister_parallel_backend`` restores what ``register`` replaced."""
