"""A cluster of containers: starting, scaling, dying, stopping."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from local_docker_parts import (
    TinyContainer,
    container_names,
    docker,
    network_names,
    wait_for,
    wait_for_death,
)

from dockerparallel import (
    Capability,
    DockerCluster,
    InvalidValueError,
    ServerNotRunningError,
    Status,
    WorkerNumbers,
)
from dockerparallel_local_docker_provider import EngineError, LocalDockerProvider

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

Make = Callable[..., DockerCluster]


def test_start_scale_shrink_and_stop(make_cluster: Make, prefix: str) -> None:
    cluster = make_cluster(worker_number=2)
    cluster.start()
    assert cluster.is_server_running()
    assert cluster.worker_numbers() == WorkerNumbers(0, 2, 2)
    assert len(container_names(prefix)) == 3
    oldest = set(cluster.cloud_provider.containers())
    cluster.set_worker_number(4)
    assert cluster.worker_numbers().running == 4
    cluster.set_worker_number(2)
    assert cluster.worker_numbers().running == 2
    assert set(cluster.cloud_provider.containers()) == oldest
    cluster.stop()
    assert not cluster.exists()
    assert container_names(prefix) == network_names(prefix) == []


def test_a_stopped_cluster_starts_again(make_cluster: Make) -> None:
    cluster = make_cluster()
    for _ in range(2):
        cluster.start()
        assert cluster.worker_numbers().running == 1
        cluster.stop()
        assert not cluster.is_server_running()


def test_two_clusters_side_by_side(make_cluster: Make, prefix: str) -> None:
    one, two = make_cluster(suffix="-a"), make_cluster(suffix="-b", worker_number=2)
    one.start()
    two.start()
    assert one.worker_numbers().running == 1
    one.stop()
    assert two.is_server_running()
    assert two.worker_numbers().running == 2
    assert network_names(prefix) == [f"dockerparallel-{prefix}-b"]


def test_a_container_removed_behind_the_back_comes_back(make_cluster: Make) -> None:
    cluster = make_cluster(worker_number=2)
    cluster.start()
    gone = cluster.state.provider.worker_names(cluster)[0]
    docker("rm", "--force", gone)
    assert cluster.worker_numbers().running == 1
    cluster.update()
    assert cluster.worker_numbers().running == 2
    assert gone not in cluster.state.provider.worker_names(cluster)


def test_killing_twice_is_harmless(make_cluster: Make) -> None:
    cluster = make_cluster(worker_number=2)
    cluster.start()
    provider = cluster.state.provider
    assert isinstance(provider, LocalDockerProvider)
    first, second = provider.worker_handles()
    for _ in range(2):
        assert provider.kill_worker_containers(cluster, [first, "worker-unknown"]) == [True, True]
    assert provider.worker_status(cluster, [first, second]) == [Status.STOPPED, Status.RUNNING]


def test_a_worker_that_exits_at_once_is_reported_once_without_secrets(
    make_cluster: Make, base_image: str, caplog: pytest.LogCaptureFixture
) -> None:
    program = (
        "import os\n"
        "for name in ('TINY_PASSWORD', 'LICENCE'):\n"
        "    print(name, open(os.environ['DOCKERPARALLEL_SECRETS_DIR'] + '/' + name).read())\n"
        "raise SystemExit(3)"
    )
    container = TinyContainer(base_image, program=program, secrets={"LICENCE": "key-4711"})
    cluster = make_cluster(container)
    cluster.start()
    wait_for_death(cluster)
    cluster.worker_numbers()
    (message,) = [record.getMessage() for record in caplog.records]
    assert "ended with exit code 3. The end of its log:" in message
    assert "TINY_PASSWORD [password]" in message
    assert "LICENCE [LICENCE]" in message
    assert cluster.config.server_password not in caplog.text
    assert "key-4711" not in caplog.text
    name = cluster.cloud_provider.containers()
    assert all(container in message for handle, container in name.items() if handle != "server")


def test_a_worker_that_prints_nothing_and_one_over_its_memory(
    make_cluster: Make, base_image: str, caplog: pytest.LogCaptureFixture
) -> None:
    program = "x = bytearray(200 * 1024 * 1024)"
    cluster = make_cluster(TinyContainer(base_image, program=program))
    cluster.start()
    wait_for_death(cluster)
    assert "ended with exit code 137 after it went over its memory limit of 64 MiB" in caplog.text
    assert "worker_memory=" in caplog.text


def test_a_server_that_exits_at_once_fails_the_start(make_cluster: Make, base_image: str) -> None:
    container = TinyContainer(base_image, server_program="raise RuntimeError('cannot bind')")
    cluster = make_cluster(container)
    with pytest.raises(ServerNotRunningError, match="RuntimeError: cannot bind") as caught:
        cluster.start()
    assert "ended with exit code 1" in str(caught.value)
    assert not cluster.exists()


@pytest.mark.parametrize("role", ["server", "worker"])
def test_a_program_that_the_image_lacks_is_named(
    make_cluster: Make, base_image: str, role: str, prefix: str
) -> None:
    class Missing(TinyContainer):
        def configure_server_env(self, cluster: DockerCluster) -> Missing:
            container = super().configure_server_env(cluster)
            container.command = ["no-such-server"] if role == "server" else container.command
            return container

        def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Missing:
            container = super().configure_worker_env(cluster, worker_number)
            container.command = ["no-such-worker", "--fast"]
            return container

    cluster = make_cluster(Missing(base_image), server_container=Missing(base_image))
    with pytest.raises(EngineError, match=f"no-such-{role}.*executable file not found"):
        cluster.start()
    assert container_names(prefix) == network_names(prefix) == []


def test_a_worker_that_cannot_be_started_leaves_the_others_alone(
    make_cluster: Make, prefix: str
) -> None:
    class Missing(TinyContainer):
        def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Missing:
            container = super().configure_worker_env(cluster, worker_number)
            container.command = ["no-such-worker"]
            return container

    cluster = make_cluster()
    cluster.start()
    before = container_names(prefix)
    state = cluster.state
    state.worker_container = Missing(state.worker_container.image)
    with pytest.raises(EngineError, match="no-such-worker"):
        cluster.set_worker_number(3)
    assert container_names(prefix) == before
    assert cluster.worker_numbers().running == 1


def test_a_server_that_died_is_started_again_for_the_same_workers(
    make_cluster: Make, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = make_cluster()
    cluster.start()
    workers = cluster.state.provider.worker_names(cluster)
    docker("kill", cluster.cloud_provider.containers()["server"])
    wait_for("the death to be seen", lambda: not cluster.is_server_running())
    assert "server (container dockerparallel-" in caplog.text
    assert "ended with exit code 137. The end of its log:\n    listening" in caplog.text
    cluster.start_server()
    wait_for("the new server", cluster.is_server_running)
    assert cluster.state.provider.worker_names(cluster) == workers


def test_a_server_that_was_removed_is_named_gone(
    make_cluster: Make, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = make_cluster()
    cluster.start()
    docker("rm", "--force", cluster.cloud_provider.containers()["server"])
    assert not cluster.is_server_running()
    assert "server has gone: somebody has removed its container" in caplog.text


def test_who_ignores_sigterm_is_killed(make_cluster: Make, base_image: str, prefix: str) -> None:
    deaf = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True); time.sleep(600)"
    )
    cluster = make_cluster(
        TinyContainer(base_image, program=deaf), LocalDockerProvider(stop_timeout=0.2)
    )
    cluster.start()
    wait_for("the worker", lambda: "deaf" in cluster.cloud_provider.logs())
    cluster.stop()
    assert not container_names(prefix)


def test_a_paused_worker_counts_and_is_ended(make_cluster: Make, prefix: str) -> None:
    cluster = make_cluster(provider=LocalDockerProvider(stop_timeout=0.2))
    cluster.start()
    docker("pause", *cluster.state.provider.worker_names(cluster))
    assert cluster.worker_numbers().running == 1
    cluster.stop()
    assert not container_names(prefix)


def test_hardware_that_the_engine_has_not_is_refused(make_cluster: Make, prefix: str) -> None:
    with pytest.raises(InvalidValueError, match="worker_cpu=1048576 asks for 1024 cores"):
        make_cluster(worker_cpu=1024 * 1024).start()
    with pytest.raises(InvalidValueError, match="server_memory=5 asks for 5 MiB"):
        make_cluster(server_memory=5).start()
    cluster = make_cluster(worker_cpu=1024 * 1024)
    with pytest.raises(InvalidValueError, match="worker_cpu"):
        cluster.start_server()
    assert container_names(prefix) == network_names(prefix) == []


def test_all_of_the_contract_is_claimed() -> None:
    assert LocalDockerProvider.claimed_capabilities() == {
        Capability.SERVER_STATUS,
        Capability.WORKER_NUMBERS,
        Capability.RECONNECT,
        Capability.CLEANUP,
        Capability.SHARED_CONTAINERS,
        Capability.SECRET_CHANNEL,
    }
