"""The suite on installed extensions, for ``pytest --pyargs dockerparallel_conformance``."""

from __future__ import annotations

from dockerparallel_conformance.container_checks import ContainerConformance
from dockerparallel_conformance.provider_checks import ProviderConformance


class TestProvider(ProviderConformance):
    """The provider that ``--provider`` names, with the container that ``--container`` names."""


class TestContainer(ContainerConformance):
    """The container that ``--container`` names, on the provider that ``--provider`` names."""
