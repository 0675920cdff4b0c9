"""Fixtures of this package's tests: harnesses, fresh for each test, of which nothing is left."""

from __future__ import annotations

import os
from collections.abc import Iterator

import docker
import pytest
from fargate_harness_account import Account
from fargate_harness_engine import remains

from dockerparallel_fargate_harness import FargateHarness
from dockerparallel_fargate_harness.leftovers import LABEL
from tools import base_image as recipe
from tools.docker_engine import REQUIRE_VARIABLE


@pytest.fixture(scope="session")
def served() -> Iterator[FargateHarness]:
    """Give one harness without containers for all tests."""
    with FargateHarness(containers=False) as harness:
        yield harness


@pytest.fixture
def harness(served: FargateHarness) -> FargateHarness:
    """Give a harness without containers, with a fresh account."""
    served.reset()
    return served


@pytest.fixture
def account(harness: FargateHarness) -> Account:
    """Give an account that is ready to run tasks, which are no containers."""
    return Account(harness)


@pytest.fixture(scope="session")
def base_image() -> str:
    """Give the name of an image with Python; to make it takes a minute."""
    try:
        return recipe.ensure()
    except recipe.BaseImageError as error:
        if os.environ.get(REQUIRE_VARIABLE) == "1":
            pytest.fail(f"{error}, and {REQUIRE_VARIABLE}=1", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """Give a client of the Docker engine."""
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def serving_containers(engine: docker.DockerClient) -> Iterator[FargateHarness]:
    """Give one harness with containers for all tests, and fail where it leaves any."""
    with FargateHarness() as harness:
        label = f"{LABEL}={harness.identifier}"
        yield harness
    assert not remains(engine, label)


@pytest.fixture
def real(
    base_image: str, serving_containers: FargateHarness, engine: docker.DockerClient
) -> Iterator[Account]:
    """Give an account whose tasks are containers, for tests marked ``docker``."""
    serving_containers.reset()
    yield Account(serving_containers, base_image)
    serving_containers.reset()
    assert not remains(engine, f"{LABEL}={serving_containers.identifier}")
