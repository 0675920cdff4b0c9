"""ECS Fargate on this machine, for the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dockerparallel_fargate_harness import FargateHarness
from dockerparallel_fargate_harness.running import environment_for


@pytest.fixture(scope="module")
def fargate() -> Iterator[FargateHarness]:
    """Give a harness whose tasks are containers, which boto3 and the provider find by themselves.

    What is left when its module is through goes with it.
    """
    with FargateHarness(internet=True) as harness, pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            environment.delenv(name, raising=False)
        for name, text in environment_for(harness).items():
            environment.setenv(name, text)
        yield harness
