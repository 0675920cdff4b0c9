"""ECS Fargate on this machine, for the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dockerparallel_fargate_harness import FargateHarness
from dockerparallel_fargate_harness.client import CREDENTIALS


@pytest.fixture(scope="module")
def fargate() -> Iterator[FargateHarness]:
    """Give a harness whose tasks are containers, which boto3 and the provider find by themselves.

    What is left when its module is through goes with it.
    """
    with FargateHarness() as harness, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", harness.endpoint_url)
        environment.setenv("AWS_DEFAULT_REGION", harness.region)
        environment.setenv("DOCKERPARALLEL_CHECKIP_URL", harness.checkip_url)
        for name, text in CREDENTIALS.items():
            environment.setenv(name.upper(), text)
        yield harness
