"""The promises of a container, in the order of a cluster's life."""

from __future__ import annotations

from dockerparallel_conformance.container_checks.backend import BackendPromises
from dockerparallel_conformance.container_checks.configuring import ConfiguringPromises
from dockerparallel_conformance.container_checks.storing import StoringPromises
from dockerparallel_conformance.fixtures import ConformanceFixtures

__all__ = ["ContainerConformance"]


class ContainerConformance(
    ConfiguringPromises,
    StoringPromises,
    BackendPromises,
    ConformanceFixtures,
):
    """The promises of a container; derive a test class from it and give its fixtures.

    ``worker_container`` gives the container under test and ``provider`` a provider that works,
    such as the local-process provider.
    """
