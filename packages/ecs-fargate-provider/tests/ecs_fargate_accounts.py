"""Fixtures for whole clusters on the harness without containers.

A test module has them by ``pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")``.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator

import boto3
import pytest
from ecs_fargate_tiny import Acceptor, Account

from dockerparallel_ecs_fargate_provider import api
from dockerparallel_ecs_fargate_provider.rate_limits import RateLimits
from dockerparallel_fargate_harness import FargateHarness


@pytest.fixture(scope="session")
def acceptor() -> Iterator[Acceptor]:
    """Something that listens, since nothing runs in the tasks."""
    acceptor = Acceptor()
    yield acceptor
    acceptor.close()


@pytest.fixture
def account(harness: FargateHarness, boto: boto3.Session, acceptor: Acceptor) -> Account:
    """Return a fresh account."""
    return Account(harness, boto, acceptor.port)


@pytest.fixture
def quick_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sessions call AWS a thousand times as often as is published."""
    limits = functools.partial(
        RateLimits,
        clock=lambda: 1000 * time.monotonic(),
        sleep=lambda seconds: time.sleep(seconds / 1000),
    )
    monkeypatch.setattr(api, "RateLimits", limits)
