"""The suite's own external server is really outside: the image of the server, in Docker."""

from __future__ import annotations

import contextlib

import pytest

from dockerparallel_conformance import Hooks
from dockerparallel_conformance.general import each_outcome
from dockerparallel_local_process_provider import LocalProcessProvider
from dockerparallel_redis_queue_container import (
    RedisQueueServerContainer,
    RedisQueueWorkerContainer,
)


@pytest.mark.docker
@pytest.mark.timeout(900)
def test_the_check_of_external_servers_uses_a_container(redis_queue_image: str) -> None:
    outcomes = each_outcome(
        LocalProcessProvider(),
        RedisQueueWorkerContainer(),
        2,
        test_reconnect=True,
        server_container=RedisQueueServerContainer(image=redis_queue_image),
        hooks=Hooks(),
        check_timeout=100,
        options={},
        only={"P-46"},
    )
    with contextlib.closing(outcomes):
        (outcome,) = outcomes
    assert outcome.verdict == "passed", outcome
    assert "Docker container" in outcome.reason
    assert redis_queue_image in outcome.reason
