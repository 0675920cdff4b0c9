"""The fixture of the Docker tests that use the image of the redis-queue container."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tools import base_image, test_image
from tools.docker_engine import REQUIRE_VARIABLE


@pytest.fixture(scope="session")
def redis_queue_image() -> Iterator[str]:
    """Give the image of the redis-queue container, for tests marked ``docker``.

    To make the base image takes a minute, so mark them with a longer timeout too.
    """
    reason = base_image.reason_to_skip()
    if reason is not None and os.environ.get(REQUIRE_VARIABLE) == "1":
        pytest.fail(f"{reason}, and {REQUIRE_VARIABLE}=1", pytrace=False)
    if reason is not None:
        pytest.skip(reason)
    with test_image.redis_queue_image() as image:
        yield image
