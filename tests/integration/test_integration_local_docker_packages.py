"""Packages that workers install in their containers, from an index beside the engine."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from local_docker_rig import (
    RESULT_SECONDS,
    Eventually,
    Make,
    docker,
    inspect,
    make_fixture,  # noqa: F401 - a fixture
    nothing_of_ours_is_left_fixture,  # noqa: F401 - a fixture
    workers,
)
from local_docker_tasks import use_package
from package_index_server import USER, package_index

from dockerparallel import DockerCluster

# Making the images included.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

NAME = "dp_indexed_package"


@pytest.fixture(name="host")
def host_fixture(make: Make) -> str:
    """Give the address by which containers reach this machine."""
    address: str = make().cloud_provider.host_address()
    return address


def computes(cluster: DockerCluster) -> None:
    """Check that tasks import the package, and are not root, who has installed it."""
    with cluster.worker_container.executor() as executor:
        value, user = executor.submit(use_package).result(RESULT_SECONDS)
    assert value == 42
    assert user != 0


def test_workers_install_packages_before_they_take_work(
    make: Make, host: str, tmp_path: Path
) -> None:
    with package_index(host, tmp_path, NAME, "VALUE = 42\n") as url:
        cluster = make({"PIP_INDEX_URL": url, "PIP_TRUSTED_HOST": host}, worker_number=1)
        cluster.worker_container.add_pip_packages(NAME)
        cluster.start()
        computes(cluster)


def test_the_password_of_an_index_is_shown_nowhere(make: Make, host: str, tmp_path: Path) -> None:
    password = secrets.token_hex(16)
    with package_index(host, tmp_path, NAME, "VALUE = 42\n", password) as url:
        place = urlsplit(url)
        secret = f"{place.scheme}://{USER}:{password}@{place.netloc}{place.path}"
        cluster = make(
            {"PIP_TRUSTED_HOST": host}, secret={"PIP_INDEX_URL": secret}, worker_number=1
        )
        cluster.worker_container.add_pip_packages(NAME)
        cluster.start()
        computes(cluster)
    for container in cluster.cloud_provider.containers().values():
        assert password not in docker("logs", container)
        assert password not in str(inspect(container))
    # What is searched is there: the log tells of the index.
    assert place.netloc in docker("logs", *workers(cluster).values())
    assert password not in repr(cluster.state.worker_container)


def test_a_package_that_does_not_exist_is_told_of_at_registration(
    make: Make,
    host: str,
    tmp_path: Path,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with package_index(host, tmp_path, NAME, "") as url:
        cluster = make({"PIP_INDEX_URL": url, "PIP_TRUSTED_HOST": host}, worker_number=1)
        cluster.worker_container.add_pip_packages("dp_no_such_package")
        cluster.start_server()
        cluster.set_worker_number(1)
        [container] = workers(cluster).values()
        eventually(lambda: not inspect(container)["State"]["Running"], "the worker to give up")
    with caplog.at_level(logging.WARNING, "dockerparallel"):
        cluster.register_backend(worker_timeout=0.1)
    assert "No worker has come within 0.1 s" in caplog.text
    assert "No matching distribution found for dp_no_such_package" in caplog.text
    cluster.update()
    [again] = workers(cluster).values()
    assert again != container
