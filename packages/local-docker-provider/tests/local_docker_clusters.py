"""Making clusters for the tests, and looking for what is left of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from local_docker_parts import TinyContainer, container_names, docker, image_ids, network_names

from dockerparallel import DockerCluster
from dockerparallel_local_docker_provider import LocalDockerProvider

Make = Callable[..., DockerCluster]


def remains(name: str) -> list[str]:
    """Return what the engine has of a test, and remove it."""
    containers, networks = container_names(name), network_names(name)
    if containers:
        docker("rm", "--force", "--volumes", *containers)
    if networks:
        docker("network", "rm", *networks)
    images = image_ids(name)
    if images:
        docker("rmi", "--force", *images, check=False)
    return [*containers, *networks, *images]


def maker(clusters: ExitStack, prefix: str, base_image: str) -> Make:
    """Return a function that makes clusters, and has them stopped with ``clusters``."""

    def make(
        container: TinyContainer | None = None,
        provider: LocalDockerProvider | None = None,
        suffix: str = "",
        **options: Any,
    ) -> DockerCluster:
        cluster = DockerCluster(
            provider=provider or LocalDockerProvider(stop_timeout=5.0),
            worker_container=container or TinyContainer(base_image),
            **{
                "verbose": 0,
                "worker_number": 1,
                "worker_cpu": 256,
                "worker_memory": 64,
                "server_memory": 64,
                "job_queue_name": f"{prefix}{suffix}",
                **options,
            },
        )
        clusters.callback(cluster.stop)
        return cluster

    return make
