"""The container classes: how they are configured, stored and shown."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from redis_queue_harness import NoProvider

from dockerparallel import DockerCluster, ExternalServer
from dockerparallel_redis_queue_container import (
    RedisQueueServerContainer,
    RedisQueueWorkerContainer,
    SettingsError,
    settings,
)
from dockerparallel_redis_queue_container.settings import QueueSettings, WorkerSettings


def cluster_of(container: RedisQueueWorkerContainer, **options: Any) -> DockerCluster:
    server = ExternalServer(public_ip="server.example", public_port=7777, password="the-password")
    return DockerCluster(
        provider=NoProvider(),
        worker_container=container,
        private_server=server,
        job_queue_name="my-queue",
        **options,
    )


def configured(container: RedisQueueWorkerContainer, number: int = 1) -> RedisQueueWorkerContainer:
    return container.configure_worker_env(cluster_of(container, worker_cpu=2048), number)


def test_workers_are_told_all_that_they_need() -> None:
    container = configured(RedisQueueWorkerContainer(pip_packages=["numpy>=2"]))
    told = WorkerSettings.from_environment(container.full_environment())
    assert told == WorkerSettings(
        host="server.example",
        port=7777,
        job_queue_name="my-queue",
        worker_number=1,
        pip_packages=("numpy>=2",),
        system_packages=(),
        queue=QueueSettings(),
        password="the-password",
    )
    assert "the-password" not in repr(told)


def test_the_password_is_a_secret_and_shown_nowhere() -> None:
    container = configured(RedisQueueWorkerContainer())
    assert "the-password" not in json.dumps(container.environment)
    assert container.secrets == {settings.PASSWORD: "the-password"}
    assert "the-password" not in repr(container)


def test_configuring_changes_a_copy_and_keeps_what_the_user_set() -> None:
    mine = {"OMP_NUM_THREADS": "7", "MINE": "1"}
    container = RedisQueueWorkerContainer(environment=dict(mine), max_worker_num=4)
    result = configured(container)
    assert container.environment == mine
    assert result.environment["OMP_NUM_THREADS"] == "7"
    assert result.environment["MINE"] == "1"
    assert result.environment["MKL_NUM_THREADS"] == "2"
    again = configured(result, 3)
    assert again.environment == result.environment | {settings.WORKER_NUMBER: "3"}


@pytest.mark.parametrize(
    ("number", "error"), [(0, ValueError), (3, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_a_wrong_number_of_workers_is_refused(number: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="worker_number must be"):
        configured(RedisQueueWorkerContainer(max_worker_num=2), number)


def test_times_that_cannot_be_used_are_refused_before_anything_starts() -> None:
    container = RedisQueueWorkerContainer(environment={settings.LEASE: "soon"})
    with pytest.raises(SettingsError, match="a number of seconds above 0, not 'soon'"):
        configured(container)


def test_the_server_is_told_port_and_password() -> None:
    worker = RedisQueueWorkerContainer(image="my/image:1")
    cluster = DockerCluster(provider=NoProvider(), worker_container=worker)
    cluster.config.server_port = 1234
    plain = worker.server_container()
    server = plain.configure_server_env(cluster)
    assert server.environment == {settings.PORT: "1234"}
    assert server.secrets == {settings.PASSWORD: cluster.config.server_password}
    assert server.image == "my/image:1"
    assert plain.environment == plain.secrets == {}
    assert server.configure_server_env(cluster) == server


def test_each_container_refuses_the_other_ones_role() -> None:
    cluster = cluster_of(RedisQueueWorkerContainer())
    with pytest.raises(TypeError, match="server_container=RedisQueueServerContainer"):
        RedisQueueWorkerContainer().configure_server_env(cluster)
    with pytest.raises(TypeError, match="worker_container=RedisQueueWorkerContainer"):
        RedisQueueServerContainer().configure_worker_env(cluster, 1)
    with pytest.raises(TypeError, match="worker_container=RedisQueueWorkerContainer"):
        RedisQueueServerContainer().register_parallel_backend(cluster)


def test_the_image_is_that_of_this_python_and_python_runs_it() -> None:
    container = RedisQueueWorkerContainer()
    assert container.image.endswith(f"-py{sys.version_info.major}.{sys.version_info.minor}")
    assert container.command == ["python", "-m", "dockerparallel_redis_queue_container", "worker"]
    assert container.server_container().command == [*container.command[:-1], "server"]
    assert container.backend == "redis-queue"
    assert container.max_worker_num == 1


def test_all_fields_survive_being_stored() -> None:
    container = RedisQueueWorkerContainer(
        pip_packages=["a"], system_packages=["bc"], environment={"X": "1"}, secrets={"Y": "2"}
    )
    data = json.loads(json.dumps(container.static_data()))
    restored = RedisQueueWorkerContainer()
    restored.set_static_data(data)
    assert restored == container


def test_packages_are_added_replaced_and_listed() -> None:
    container = RedisQueueWorkerContainer()
    container.add_pip_packages("numpy", "pandas>=2")
    container.add_pip_packages(["scipy", "numpy"])
    assert container.get_pip_packages() == ["numpy", "pandas>=2", "scipy"]
    container.set_pip_packages("polars")
    container.get_pip_packages().append("not in the container")
    assert container.get_pip_packages() == ["polars"]
    container.set_pip_packages()
    assert container.get_pip_packages() == []
    container.add_system_packages("libgomp1", ["git"])
    assert container.get_system_packages() == ["libgomp1", "git"]
    container.set_system_packages(["curl"])
    assert container.get_system_packages() == ["curl"]


@pytest.mark.parametrize("bad", ["", "--pre", "-e .", 3, None, "a\nb", "numpy `id`", "$(id)"])
def test_what_is_no_package_is_refused_and_nothing_changes(bad: Any) -> None:
    container = RedisQueueWorkerContainer(pip_packages=["numpy"], system_packages=["git"])
    for add in (container.add_pip_packages, container.add_system_packages):
        with pytest.raises((ValueError, TypeError), match="package"):
            add(bad)
    assert container.pip_packages == ["numpy"]
    assert container.system_packages == ["git"]
    with pytest.raises((ValueError, TypeError), match="package"):
        cluster_of(RedisQueueWorkerContainer(pip_packages=[bad]))


def test_the_cluster_shows_the_functions_without_itself(caplog: pytest.LogCaptureFixture) -> None:
    cluster = cluster_of(RedisQueueWorkerContainer())
    assert dir(cluster.worker_container) == [
        *("add_pip_packages", "add_system_packages", "attach_job", "executor"),
        *("get_pip_packages", "get_system_packages", "jobs", "remove_job"),
        *("set_pip_packages", "set_system_packages", "stats"),
    ]
    with caplog.at_level(logging.WARNING, "dockerparallel"):
        cluster.worker_container.add_pip_packages("numpy")
        assert caplog.text == ""
        cluster.runtime.running_worker_number = 1
        cluster.worker_container.add_pip_packages("scipy")
        assert "workers that start from now on" in caplog.text
    assert cluster.worker_container.get_pip_packages() == ["numpy", "scipy"]
