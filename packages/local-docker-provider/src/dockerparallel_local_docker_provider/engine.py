"""What the provider asks of a Docker engine, by Docker's own library.

The only module that knows the library's client. It speaks the engine's HTTP API, in which a
container is made, filled and started by three calls; ``docker run`` makes the same ones.
"""

from __future__ import annotations

import io
import ipaddress
import socket
import tarfile
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from docker.api import APIClient
from docker.errors import APIError, NotFound
from docker.types import LogConfig

from dockerparallel_local_docker_provider.engine_address import EngineAddress
from dockerparallel_local_docker_provider.engine_errors import translated
from dockerparallel_local_docker_provider.records import (
    ContainerRecord,
    ContainerSpec,
    Ending,
    EngineSize,
    NetworkRecord,
)
from dockerparallel_local_docker_provider.ssh import LOOPBACK

_CONFLICT = 409
_NOT_MODIFIED = 304
# A worker that prints without end must not fill the engine's disk.
_LOGS = {"max-size": "10m", "max-file": "3"}
_MIB = 1024 * 1024


class NameTakenError(Exception):
    """A container of that name is there already; for the caller alone, who knows what it means."""


class Engine:
    """A connection to an engine. Thread-safe; each call waits at most ``timeout`` seconds.

    Every method raises :class:`~dockerparallel_local_docker_provider.errors.EngineError`, or a
    child that fits, where the engine does not do what is asked.

    Parameters
    ----------
    address
        Which engine it is.
    url
        Where it answers: that of the address, or the near end of a tunnel to it.
    timeout
        Seconds to wait for an answer.
    connections
        How many calls may be under way at a time without opening connections anew.
    """

    def __init__(self, address: EngineAddress, url: str, timeout: float, connections: int) -> None:
        self.address = address
        self.timeout = timeout
        with translated(address, "connect", timeout):
            _knock(url, timeout)
            self.api: Any = APIClient(
                base_url=url,
                # Asks the engine, so that old and new ones are talked to as they understand.
                version="auto",
                timeout=timeout,  # type: ignore[arg-type]  # a float will do
                tls=address.tls or False,
                max_pool_size=connections,
            )
        # Without it, a handle that is dropped would leave its sockets to the collector.
        weakref.finalize(self, self.api.close).atexit = False

    def close(self) -> None:
        """Close the connections."""
        self.api.close()

    def size(self) -> EngineSize:
        """Return the cores and the memory of the engine's machine."""
        with translated(self.address, "tell its size", self.timeout):
            about = self.api.info()
        return EngineSize(int(about["NCPU"]), int(about["MemTotal"]) // _MIB)

    def bridge_gateway(self) -> str | None:
        """Return the address of the engine's machine on its own bridge, where it has one."""
        with translated(self.address, "inspect its bridge network", self.timeout):
            try:
                bridge = self.api.inspect_network("bridge")
            except NotFound:
                return None
        for pool in bridge["IPAM"]["Config"] or []:
            network = ipaddress.ip_network(pool["Subnet"], strict=False)
            if network.version == 4:  # noqa: PLR2004 - the version of the protocol
                # An engine names the gateway only where it was told one; else it takes the first.
                return str(pool.get("Gateway") or next(network.hosts()))
        return None

    # Containers -----------------------------------------------------------------------------

    def containers(self, labels: Mapping[str, str]) -> list[ContainerRecord]:
        """Return the containers with these labels, also those that have ended, oldest first."""
        filters = {"label": _label_filter(labels)}
        with translated(self.address, "list containers", self.timeout):
            found = self.api.containers(all=True, filters=filters)
        return sorted(
            (ContainerRecord.from_listing(item) for item in found),
            key=lambda record: (record.started, record.name),
        )

    def create(self, spec: ContainerSpec) -> str:
        """Make a container, not started, and return its id.

        Raises
        ------
        NameTakenError
            A container has that name already.
        """
        host = self.api.create_host_config(
            network_mode=spec.network,
            nano_cpus=spec.nano_cpus,
            mem_limit=spec.memory_mib * _MIB,
            # Without swap: beyond its memory a container is ended, and does not crawl.
            memswap_limit=spec.memory_mib * _MIB,
            port_bindings={port: (LOOPBACK, wanted) for port, wanted in spec.ports.items()},
            security_opt=["no-new-privileges"],
            log_config=LogConfig(type=LogConfig.types.JSON, config=_LOGS),
        )
        with translated(self.address, f"make the container {spec.name}", self.timeout):
            try:
                made = self.api.create_container(
                    image=spec.image,
                    command=spec.command,
                    name=spec.name,
                    hostname=spec.hostname,
                    environment=dict(spec.environment),
                    labels=dict(spec.labels),
                    ports=list(spec.ports),
                    host_config=host,
                )
            except APIError as error:
                if error.status_code == _CONFLICT and "is already in use" in str(error.explanation):
                    raise NameTakenError(spec.name) from error
                raise
        return str(made["Id"])

    def put(self, container_id: str, archive: bytes) -> None:
        """Unpack a tar archive at the root of a container's files."""
        with translated(self.address, "put files into a container", self.timeout):
            self.api.put_archive(container_id, "/", archive)

    def read_file(self, container_id: str, path: str) -> bytes | None:
        """Return a file of a container, running or not; ``None`` where there is none, or a link."""
        with translated(self.address, f"read {path} of a container", self.timeout):
            try:
                stream, _ = self.api.get_archive(container_id, path)
            except NotFound:
                return None
            packed = io.BytesIO(b"".join(stream))
        with tarfile.open(fileobj=packed) as archive:
            for member in archive:
                # A link leads to what the archive does not hold.
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    return content.read()
        return None

    def start(self, container_id: str, name: str) -> None:
        """Start a container that was made."""
        with translated(self.address, f"start the container {name}", self.timeout):
            self.api.start(container_id)

    def terminate(self, container_id: str) -> None:
        """Send SIGTERM to a container; harmless where it has ended or is gone."""
        with translated(self.address, "end a container", self.timeout):
            try:
                self.api.kill(container_id, signal="SIGTERM")
            except APIError as error:
                # 409: it does not run (any more).
                if error.status_code not in {404, _CONFLICT, 500}:
                    raise

    def remove(self, container_id: str) -> None:
        """Kill and remove a container with its volumes; return when it is gone.

        Harmless where it is gone already. Where another session removes it just now, that is waited
        for: until then it still uses its network.
        """
        with translated(self.address, "remove a container", self.timeout):
            try:
                self.api.remove_container(container_id, force=True, v=True)
            except NotFound:
                return
            except APIError as error:
                if error.status_code != _CONFLICT or "already in progress" not in str(
                    error.explanation
                ):
                    raise
                self._wait_until_removed(container_id)

    def _wait_until_removed(self, container_id: str) -> None:
        try:
            # Without a timeout of its own, this call of the library has none.
            self.api.wait(container_id, timeout=self.timeout, condition="removed")
        except NotFound:
            return

    def ending(self, container_id: str) -> Ending | None:
        """Return how a container has ended; ``None`` where it is gone."""
        with translated(self.address, "inspect a container", self.timeout):
            try:
                about = self.api.inspect_container(container_id)
            except NotFound:
                return None
        state = about["State"]
        return Ending(
            exit_code=int(state["ExitCode"]),
            out_of_memory=bool(state.get("OOMKilled")),
            error=str(state.get("Error") or ""),
            memory_mib=int(about["HostConfig"].get("Memory") or 0) // _MIB,
        )

    def log(self, container_id: str, lines: int | None = None) -> str:
        """Return what a container has printed, or its last lines; empty where it is gone."""
        with translated(self.address, "read the log of a container", self.timeout):
            try:
                text = self.api.logs(container_id, tail="all" if lines is None else lines)
            except NotFound:
                return ""
        return str(text.decode(errors="replace"))

    def follow(self, container_id: str, lines: int | None = None) -> Any:
        """Return a stream of what a container prints, bytes as they come, until it ends.

        It has a method ``close``.
        """
        with translated(self.address, "follow the log of a container", self.timeout):
            return self.api.logs(
                container_id, stream=True, follow=True, tail="all" if lines is None else lines
            )

    # Networks -------------------------------------------------------------------------------

    def networks(self, labels: Mapping[str, str]) -> list[NetworkRecord]:
        """Return the networks with these labels."""
        filters = {"label": _label_filter(labels)}
        with translated(self.address, "list networks", self.timeout):
            found = self.api.networks(filters=filters)
        return [NetworkRecord(str(n["Id"]), str(n["Name"]), dict(n["Labels"] or {})) for n in found]

    def create_network(self, name: str, labels: Mapping[str, str]) -> None:
        """Make a bridge network.

        Raises
        ------
        NameTakenError
            A network has that name already.
        """
        with translated(self.address, f"make the network {name}", self.timeout):
            try:
                self.api.create_network(
                    name, driver="bridge", labels=dict(labels), check_duplicate=True
                )
            except APIError as error:
                if error.status_code == _CONFLICT:
                    raise NameTakenError(name) from error
                raise

    def remove_network(self, network_id: str) -> None:
        """Remove a network, to which no container may be attached; harmless where it is gone."""
        with translated(self.address, "remove a network", self.timeout):
            try:
                self.api.remove_network(network_id)
            except NotFound:
                # Gone is what was wanted.
                return

    def lines_of(self, doing: str, stream: Iterator[Any]) -> Iterator[Any]:
        """Pass a stream of the engine on, with its errors translated."""
        with translated(self.address, doing, self.timeout):
            yield from stream


def _knock(url: str, timeout: float) -> None:
    """See that somebody answers at a socket of this machine; others are left to the library.

    Docker's library leaves its own socket open where nobody does.
    """
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(timeout)
            probe.connect(url.removeprefix("unix://"))


def _label_filter(labels: Mapping[str, str]) -> list[str]:
    """Return the engine's form of a filter; an empty value stands for any."""
    return [f"{key}={value}" if value else key for key, value in labels.items()]
