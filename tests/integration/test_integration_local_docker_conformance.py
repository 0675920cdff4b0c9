"""Clusters of real containers keep every promise: local-docker with redis-queue."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from dockerparallel import CloudProvider, DockerCluster, DockerContainer
from dockerparallel_conformance import ContainerConformance, ProviderConformance
from dockerparallel_local_docker_provider import LocalDockerProvider
from dockerparallel_redis_queue_container import RedisQueueWorkerContainer

COMMAND_SECONDS = 60


def docker(*arguments: str) -> str:
    """Run the docker command and return what it printed."""
    done = subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=True,
    )
    return done.stdout.strip()


class OnDocker:
    """The pair, and what the suite cannot know of a Docker engine."""

    @pytest.fixture
    def provider(self) -> CloudProvider:
        return LocalDockerProvider()

    @pytest.fixture
    def worker_container(self, redis_queue_image: str) -> DockerContainer:
        return RedisQueueWorkerContainer(image=redis_queue_image)

    @pytest.fixture
    def cluster_options(self) -> dict[str, Any]:
        # A whole core for the server: these are many short clusters.
        return {"worker_memory": 512, "server_cpu": 1024, "server_memory": 512}

    @pytest.fixture
    def kill_worker(self) -> Callable[[DockerCluster], None]:
        def kill(cluster: DockerCluster) -> None:
            docker("kill", cluster.state.provider.worker_names(cluster)[-1])

        return kill

    @pytest.fixture
    def kill_server(self) -> Callable[[DockerCluster], None]:
        def kill(cluster: DockerCluster) -> None:
            docker("kill", cluster.cloud_provider.containers()["server"])

        return kill


@pytest.mark.docker
@pytest.mark.timeout(900)
class TestProviderOnDocker(OnDocker, ProviderConformance):
    """The promises of the provider."""


@pytest.mark.docker
@pytest.mark.timeout(900)
class TestContainerOnDocker(OnDocker, ContainerConformance):
    """The promises of the container, on this provider."""
