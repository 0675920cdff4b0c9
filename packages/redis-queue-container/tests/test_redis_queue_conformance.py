"""The container keeps its promises: each check of the conformance suite is a test here."""

from __future__ import annotations

import pytest

from dockerparallel import CloudProvider, DockerContainer
from dockerparallel.presets import resolve_provider
from dockerparallel_conformance import ContainerConformance
from dockerparallel_redis_queue_container import RedisQueueWorkerContainer


class TestRedisQueueContainer(ContainerConformance):
    """The promises of a container, on a provider that is installed."""

    @pytest.fixture
    def provider(self) -> CloudProvider:
        """Give a provider that works."""
        return resolve_provider("local-process")

    @pytest.fixture
    def worker_container(self) -> DockerContainer:
        """Give the container under test."""
        return RedisQueueWorkerContainer()
