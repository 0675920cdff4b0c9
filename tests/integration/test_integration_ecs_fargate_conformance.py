"""Clusters of tasks of ECS Fargate keep every promise: ecs-fargate with redis-queue.

The API is moto's, with the rules of AWS that the harness adds, and each task is a real container.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dockerparallel import CloudProvider, DockerCluster, DockerContainer
from dockerparallel_conformance import (
    ContainerConformance,
    ProviderConformance,
    run_external_server,
)
from dockerparallel_ecs_fargate_provider import ECSFargateProvider
from dockerparallel_fargate_harness import FargateHarness
from dockerparallel_redis_queue_container import RedisQueueWorkerContainer
from tools.with_fargate_harness import bridge_gateway


class OnFargate:
    """The pair, and what the suite cannot know of the platform."""

    @pytest.fixture
    def provider(self, fargate: FargateHarness) -> CloudProvider:
        return ECSFargateProvider(poll_interval=0.2)

    @pytest.fixture
    def worker_container(self, redis_queue_image: str) -> DockerContainer:
        return RedisQueueWorkerContainer(image=redis_queue_image)

    @pytest.fixture
    def cluster_options(self) -> dict[str, Any]:
        # A whole core for the server: these are many short clusters.
        return {"worker_memory": 2048, "server_cpu": 1024, "server_memory": 2048}

    @pytest.fixture
    def kill_worker(self, fargate: FargateHarness) -> Callable[[DockerCluster], None]:
        def kill(cluster: DockerCluster) -> None:
            fargate.kill(cluster.state.provider.worker_names(cluster)[-1])

        return kill

    @pytest.fixture
    def kill_server(self, fargate: FargateHarness) -> Callable[[DockerCluster], None]:
        def kill(cluster: DockerCluster) -> None:
            fargate.kill(cluster.cloud_provider.tasks()["server"])

        return kill

    @pytest.fixture
    def list_shared_resources(
        self, fargate: FargateHarness
    ) -> Callable[[DockerCluster], list[str]]:
        def shared(_cluster: DockerCluster) -> list[str]:
            return [f"{kind} {name}" for kind, names in fargate.left().items() for name in names]

        return shared

    @pytest.fixture
    def external_server(self, provider: CloudProvider, worker_container: DockerContainer) -> Any:
        with run_external_server(provider, worker_container, host=bridge_gateway()) as running:
            yield running


@pytest.mark.docker
@pytest.mark.timeout(900)
class TestProviderOnFargate(OnFargate, ProviderConformance):
    """The promises of the provider."""


@pytest.mark.docker
@pytest.mark.timeout(900)
class TestContainerOnFargate(OnFargate, ContainerConformance):
    """The promises of the container, on this provider."""
