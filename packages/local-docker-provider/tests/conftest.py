"""Fixtures of this package's tests: clusters with names of their own, and nothing left of them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from local_docker_clusters import Make, maker, remains

from tools import base_image as recipe
from tools.docker_engine import REQUIRE_VARIABLE


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


@pytest.fixture
def make_cluster(prefix: str, base_image: str) -> Iterator[Make]:
    """Make clusters that are stopped after the test; ``suffix`` tells several ones apart."""
    with ExitStack() as clusters:
        yield maker(clusters, prefix, base_image)
