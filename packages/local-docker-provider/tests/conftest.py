"""Fixtures of this package's tests: clusters with names of their own, and nothing left of them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from local_docker_parts import TinyContainer, container_names, docker, image_ids, network_names

from dockerparallel import DockerCluster
from dockerparallel_local_docker_provider import LocalDockerProvider
from tools import base_image as recipe
from tools.docker_engine import REQUIRE_VARIABLE

Make = Callable[..., DockerCluster]


@pytest.fixture(scope="session")
def base_image() -> str:
    """Give the name of an image with Python; to make it takes a minute."""
    try:
        return recipe.ensure()
    except recipe.BaseImageError as error:
        if os.environ.get(REQUIRE_VARIABLE) == "1":
            pytest.fail(f"{error}, and {REQUIRE_VARIABLE}=1", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the beginning of all names of the test, and fail it where something of them is left."""
    name = f"dpt-{os.getpid()}-{secrets.token_hex(3)}"
    yield name
    if request.node.get_closest_marker("docker") is not None:
        left = remains(name)
        assert not left


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


@pytest.fixture
def make_cluster(prefix: str, base_image: str) -> Iterator[Make]:
    """Make clusters that are stopped after the test; ``suffix`` tells several ones apart."""
    with ExitStack() as clusters:
        yield maker(clusters, prefix, base_image)


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
