"""An in-memory platform, with a provider and a container for it.

They stand for what the core must not know: the core's own tests need no real platform. Real
providers and containers are tested in their packages and in tests/integration.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import Any, ClassVar, Self

from dockerparallel import (
    CloudProvider,
    DockerCluster,
    DockerContainer,
    DockerHardware,
    ServerAddress,
    Status,
    WorkerNumbers,
    current_cluster,
    exported,
)


class Platform:
    """What runs "somewhere": clusters by name, with their stored static data."""

    def __init__(self) -> None:
        self.servers: dict[str, Status] = {}
        self.workers: dict[str, int] = {}
        self.stored: dict[str, dict[str, Any]] = {}


class MemoryProvider(CloudProvider):
    """Runs everything on a :class:`Platform` and notes every call.

    ``fail`` names methods that raise; ``immortal`` workers outlive every order.
    """

    def __init__(
        self, platform: Platform, *, fail: tuple[str, ...] = (), immortal: int = 0
    ) -> None:
        self.platform = platform
        self.fail = fail
        self.immortal = immortal
        self.calls: list[str] = []
        self.first_status = Status.RUNNING
        self.seen: dict[str, Any] = {}
        self.threads_inside = 0
        self.lock = threading.Lock()

    def copy(self) -> Self:
        duplicate = super().copy()
        duplicate.platform = self.platform
        return duplicate

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call in self.fail:
            raise RuntimeError(f"{call} failed")

    def initialize(self, cluster: DockerCluster) -> None:
        self._note("initialize")

    def run_server(
        self, cluster: DockerCluster, container: DockerContainer, hardware: DockerHardware
    ) -> None:
        self.platform.servers[cluster.config.job_queue_name] = self.first_status
        self.platform.stored[cluster.config.job_queue_name] = cluster.static_data()
        self.seen["server"] = (container, hardware, current_cluster() is cluster)
        self._note("run_server")

    def stop_server(self, cluster: DockerCluster) -> None:
        self._note("stop_server")
        self.platform.servers.pop(cluster.config.job_queue_name, None)

    def server_status(self, cluster: DockerCluster) -> Status:
        self._note("server_status")
        return self.platform.servers.get(cluster.config.job_queue_name, Status.STOPPED)

    def server_address(self, cluster: DockerCluster) -> ServerAddress:
        self._note("server_address")
        return ServerAddress("1.2.3.4", 8888, "10.0.0.4", 9999)

    def set_worker_number(
        self,
        cluster: DockerCluster,
        container: DockerContainer,
        hardware: DockerHardware,
        worker_number: int,
    ) -> None:
        self.threads_inside += 1
        assert self.threads_inside == 1, "called from two threads at a time"
        self.seen["worker"] = (container, hardware)
        try:
            self._note(f"set_worker_number({worker_number})")
            self.platform.workers[cluster.config.job_queue_name] = max(worker_number, self.immortal)
        finally:
            self.threads_inside -= 1

    def worker_numbers(self, cluster: DockerCluster) -> WorkerNumbers:
        return WorkerNumbers(0, self.platform.workers.get(cluster.config.job_queue_name, 0))

    def worker_names(self, cluster: DockerCluster) -> list[str]:
        return [f"immortal-{number}" for number in range(self.immortal)]

    def cluster_exists(self, cluster: DockerCluster) -> bool:
        return cluster.config.job_queue_name in self.platform.servers

    def reconnect(self, cluster: DockerCluster) -> None:
        self._note("reconnect")
        cluster.set_static_data(self.platform.stored[cluster.config.job_queue_name])

    def cleanup(self, cluster: DockerCluster, deep: bool = False) -> None:
        self._note(f"cleanup(deep={deep})")
        self.cleaned_after_failed_start = cluster.state.starting

    @exported
    def where(self, prefix: str, cluster: DockerCluster, suffix: str = "!") -> str:
        """Tell the name of the cluster between two texts."""
        return f"{prefix}{cluster.config.job_queue_name}{suffix}"

    @exported  # type: ignore[prop-decorator]  # the order that the type checker does not know
    @property
    def region(self) -> str:
        return "memory"


class MinimalProvider(CloudProvider):
    """The four methods that a provider must have, and nothing else."""

    def run_server(self, cluster: Any, container: Any, hardware: Any) -> None:
        self.running = True

    def stop_server(self, cluster: Any) -> None:
        self.running = False

    def server_address(self, cluster: Any) -> ServerAddress:
        return ServerAddress(private_ip="10.0.0.1", private_port=1)

    def set_worker_number(
        self, cluster: Any, container: Any, hardware: Any, worker_number: int
    ) -> None:
        self.asked = worker_number


@dataclasses.dataclass(repr=False)
class MemoryContainer(DockerContainer):
    """A container that notes what it was asked, in a list that its copies share."""

    extra: list[str] = dataclasses.field(default_factory=list)
    calls: ClassVar[list[str]] = []
    fail: ClassVar[tuple[str, ...]] = ()

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call in self.fail:
            raise RuntimeError(f"{call} failed")

    def configure_server_env(self, cluster: DockerCluster) -> Self:
        duplicate = self.copy()
        duplicate.environment.setdefault("PORT", str(cluster.config.server_port))
        duplicate.secrets["PASSWORD"] = cluster.config.server_password
        self._note("configure_server_env")
        return duplicate

    def configure_worker_env(self, cluster: DockerCluster, worker_number: int) -> Self:
        duplicate = self.copy()
        host, port = cluster.server_address_for_workers()
        duplicate.environment["SERVER"] = f"{host}:{port}"
        duplicate.environment["WORKERS"] = str(worker_number)
        self._note("configure_worker_env")
        return duplicate

    def register_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        self._note("register")

    def deregister_parallel_backend(self, cluster: DockerCluster, **options: Any) -> None:
        self._note("deregister")

    def server_container(self) -> MemoryContainer:
        return MemoryContainer(image="server-image")

    @exported
    def name_of_cluster(self) -> str:
        return current_cluster().config.job_queue_name

    @property
    @exported
    def extras(self) -> list[str]:
        return self.extra

    @extras.setter
    def extras(self, value: list[str]) -> None:
        self.extra = value


class OtherContainer(MemoryContainer):
    """Another class, for reconnecting with the wrong one."""
