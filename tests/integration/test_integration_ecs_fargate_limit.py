"""Tasks of ECS Fargate end by themselves when their time is up, whoever is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from dockerparallel import DockerCluster, ServerNotRunningError
from dockerparallel_ecs_fargate_provider import ECSFargateProvider
from dockerparallel_fargate_harness import FargateHarness
from dockerparallel_redis_queue_container import RedisQueueWorkerContainer

SECONDS = 15


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_all_tasks_end_when_their_time_is_up(
    fargate: FargateHarness,
    redis_queue_image: str,
    eventually: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "dockerparallel")
    cluster = DockerCluster(
        ECSFargateProvider(max_hours=SECONDS / 3600, poll_interval=0.2),
        # Soon after their server has ended, workers end by themselves.
        RedisQueueWorkerContainer(
            image=redis_queue_image, environment={"DOCKERPARALLEL_SERVER_WAIT_SECONDS": "2"}
        ),
        worker_number=1,
        job_queue_name="limited",
        server_cpu=1024,
    )
    with cluster:
        assert cluster.worker_container.executor().submit(abs, -1).result(60) == 1
        # Nobody ends them: this session only looks on.
        eventually(lambda: not cluster.cloud_provider.tasks(), "all tasks have ended", 120)
        cluster.worker_numbers()
        assert not cluster.is_server_running()
        with pytest.raises(ServerNotRunningError):
            cluster.register_backend()
    assert "hours of max_hours= are over" in caplog.text
    assert cluster.cloud_provider.list_clusters() == []
