"""The provider keeps its promises: each check of the conformance suite is a test here."""

from __future__ import annotations

import pytest

from dockerparallel import CloudProvider, DockerContainer
from dockerparallel.presets import resolve_container
from dockerparallel_conformance import ProviderConformance
from dockerparallel_local_process_provider import LocalProcessProvider


class TestLocalProcessProvider(ProviderConformance):
    """The promises of a provider, with a container that is installed."""

    @pytest.fixture
    def provider(self) -> CloudProvider:
        """Give the provider under test."""
        return LocalProcessProvider()

    @pytest.fixture
    def worker_container(self) -> DockerContainer:
        """Give a container that works."""
        return resolve_container("redis-queue")
