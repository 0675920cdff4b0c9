"""Fixtures for tests against the harness without containers.

A test module has them by ``pytest_plugins = ("ecs_fargate_rig",)``, and does not import this one:
pytest rewrites the assertions of a plugin, and can do that only before it is imported.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import boto3
import pytest
from ecs_fargate_sessions import REGION

from dockerparallel.log import ClusterLogger
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_fargate_harness import FargateHarness


@pytest.fixture(scope="session")
def running_harness() -> Iterator[FargateHarness]:
    """One server for all tests of the process."""
    with FargateHarness(containers=False, region=REGION) as harness:
        yield harness


@pytest.fixture(scope="session")
def boto(running_harness: FargateHarness) -> boto3.Session:
    """One session for all tests: it keeps what it has read of the services' models."""
    return running_harness.session()


@pytest.fixture
def harness(running_harness: FargateHarness) -> FargateHarness:
    """Return the harness with a fresh account."""
    running_harness.reset()
    return running_harness


@pytest.fixture
def aws(harness: FargateHarness, boto: boto3.Session) -> AWS:
    """Return the API of the provider, talking to the harness."""
    return AWS(session=boto, region=REGION, endpoint_url=harness.endpoint_url)


@pytest.fixture
def logger(caplog: pytest.LogCaptureFixture) -> ClusterLogger:
    """Return a cluster's logger that tells everything, into ``caplog``."""
    caplog.set_level(logging.DEBUG, logger="dockerparallel")
    return ClusterLogger(lambda: "test", 2)
