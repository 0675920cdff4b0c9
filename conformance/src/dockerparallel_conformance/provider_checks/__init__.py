"""The promises of a provider, in the order of a cluster's life."""

from __future__ import annotations

from dockerparallel_conformance.fixtures import ConformanceFixtures
from dockerparallel_conformance.provider_checks.ending import EndingPromises
from dockerparallel_conformance.provider_checks.losses import LossPromises
from dockerparallel_conformance.provider_checks.neighbours import NeighbourPromises
from dockerparallel_conformance.provider_checks.scaling import ScalingPromises
from dockerparallel_conformance.provider_checks.server import ServerPromises
from dockerparallel_conformance.provider_checks.sessions import SessionPromises
from dockerparallel_conformance.provider_checks.workers import WorkerPromises

__all__ = ["ProviderConformance"]


class ProviderConformance(
    ServerPromises,
    WorkerPromises,
    ScalingPromises,
    LossPromises,
    NeighbourPromises,
    EndingPromises,
    SessionPromises,
    ConformanceFixtures,
):
    """The promises of a provider; derive a test class from it and give its fixtures.

    ``provider`` gives the provider under test and ``worker_container`` a container that works.
    """
