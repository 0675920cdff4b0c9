"""What a task may and may not do in its container: memory, rights, secrets, modules."""

from __future__ import annotations

import secrets

import pytest
from local_docker_rig import (
    RESULT_SECONDS,
    Make,
    inspect,
    make_fixture,  # noqa: F401 - a fixture
    nothing_of_ours_is_left_fixture,  # noqa: F401 - a fixture
    workers,
)
from local_docker_tasks import allocate, find, missing_module, secret_of, square, user_ids

from dockerparallel_redis_queue_container import WorkerDiedError
from dockerparallel_redis_queue_container.settings import MAX_ATTEMPTS, PASSWORD

# Making the images included.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

MEMORY = 192


def test_a_task_beyond_the_memory_limit_fails_with_the_reason_and_the_others_finish(
    make: Make,
) -> None:
    cluster = make({MAX_ATTEMPTS: "2"}, worker_memory=MEMORY)
    cluster.start()
    containers = workers(cluster)
    executor = cluster.worker_container.executor()
    others = [executor.submit(square, number) for number in range(100)]
    greedy = executor.submit(allocate, 4 * MEMORY)
    others += [executor.submit(square, number) for number in range(100, 200)]
    error = greedy.exception(RESULT_SECONDS)
    assert isinstance(error, WorkerDiedError)
    assert f"went over its memory limit of {MEMORY} MiB" in str(error)
    assert "worker_memory" in str(error)
    assert (error.attempts, error.memory_limit) == (2, MEMORY * 2**20)
    values = [future.result(RESULT_SECONDS)[0] for future in others]
    assert values == [number * number for number in range(200)]
    assert executor.submit(allocate, MEMORY // 8).result(RESULT_SECONDS) == MEMORY // 8 * 2**20
    # The container itself lives on: its supervisor is not what the kernel has killed.
    assert workers(cluster) == containers
    assert cluster.worker_numbers().running == 2


def test_a_task_is_nobody_special_and_finds_the_users_secrets_alone(make: Make) -> None:
    token = secrets.token_hex(16)
    cluster = make(secret={"TOKEN": token}, worker_number=1)
    cluster.start()
    executor = cluster.worker_container.executor()
    users = executor.submit(user_ids).result(RESULT_SECONDS)
    assert len(set(users)) == 1
    assert 0 not in users
    assert executor.submit(secret_of, "TOKEN").result(RESULT_SECONDS) == token
    assert executor.submit(secret_of, PASSWORD).result(RESULT_SECONDS) == "refused"
    # A text is looked for the wrong way round, so that the search does not find itself.
    turned = cluster.config.server_password[::-1]
    assert executor.submit(find, turned).result(RESULT_SECONDS) == []
    places = executor.submit(find, token[::-1]).result(RESULT_SECONDS)
    assert [place.rpartition("/")[2] for place in places] == ["TOKEN"]
    for container in cluster.cloud_provider.containers().values():
        told = str(inspect(container))
        assert cluster.config.server_password not in told
        assert token not in told


def test_a_module_that_the_image_lacks_is_told_with_what_to_install(make: Make) -> None:
    cluster = make(worker_number=1)
    cluster.start()
    executor = cluster.worker_container.executor()
    error = executor.submit(missing_module).exception(RESULT_SECONDS)
    assert isinstance(error, ModuleNotFoundError)
    told = "\n".join(error.__notes__)
    assert f'cluster.worker_container.add_pip_packages("pytest=={pytest.__version__}")' in told
