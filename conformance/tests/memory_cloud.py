"""A toy container platform whose whole truth is in the memory of one process.

Containers are groups of real processes that the platform's process forks, which costs a
millisecond or two. Whoever has the :class:`CloudAddress` is its user, from any process.
"""

from __future__ import annotations

import os
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from memory_wire import REFUSALS, open_wire

from dockerparallel import InvalidValueError, ProviderError, Status

_TIMEOUT = 20.0
_PROGRAM = Path(__file__).with_name("memory_cloud_process.py")


class CloudError(ProviderError):
    """The platform refused a request, or cannot be reached."""


class CloudPortError(CloudError, InvalidValueError):
    """A port is none on which this user may listen."""


@dataclass(frozen=True)
class ContainerInfo:
    """What the platform shows of a container to everybody, so no secret."""

    id: str
    cluster_name: str
    role: str
    image: str
    environment: dict[str, str]
    labels: dict[str, str]
    status: Status
    port: int | None
    pids: tuple[int, ...]
    ended: str


@dataclass(frozen=True)
class CloudAddress:
    """The way to the platform; picklable. Each method is one request, from any thread.

    Parameters
    ----------
    path
        Socket of the platform.
    authkey
        What its users know.

    Raises
    ------
    CloudError
        By each method: the platform refuses the request, or does not answer.
    """

    path: str
    authkey: bytes = field(repr=False)

    def run(
        self,
        cluster_name: str,
        role: str,
        image: str,
        environment: Mapping[str, str],
        secrets: Mapping[str, str],
        command: Sequence[str] | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        port: int | None = None,
        container_id: str | None = None,
    ) -> str:
        """Start a container and return its id.

        Parameters
        ----------
        image
            Name of a function of the platform; not looked at where there is a ``command``.
        secrets
            They become files that only the container knows of.
        labels
            Shown with the container.
        port
            One that :meth:`reserve_port` gave, for the container to listen on.
        container_id
            From :func:`new_id`, for one who must know it even if no answer comes.
        """
        identifier = container_id or new_id(role)
        self._ask(
            "run",
            id=identifier,
            cluster_name=cluster_name,
            role=role,
            image=image,
            environment=dict(environment),
            secrets=dict(secrets),
            command=None if command is None else list(command),
            labels=dict(labels or {}),
            port=port,
        )
        return identifier

    def status(self, ids: Sequence[str]) -> list[Status]:
        """Return the status of each container; an unknown one is stopped."""
        return [Status(status) for status in self._ask("status", ids=list(ids))]

    def kill(self, ids: Sequence[str]) -> list[bool]:
        """End containers and forget them; tells of each whether it is gone, also if unknown."""
        return list(self._ask("kill", ids=list(ids)))

    def crash(self, ids: Sequence[str]) -> None:
        """End containers as a power cut does: they stay known, as stopped."""
        self._ask("crash", ids=list(ids))

    def forget(self, ids: Sequence[str]) -> None:
        """Forget those of the containers that have stopped."""
        self._ask("forget", ids=list(ids))

    def containers(
        self, cluster_name: str | None = None, role: str | None = None
    ) -> list[ContainerInfo]:
        """Return the containers that are known, stopped ones included, the oldest first."""
        found = self._ask("containers", cluster_name=cluster_name, role=role)
        return [ContainerInfo(**{**item, "status": Status(item["status"])}) for item in found]

    def reserve_port(self, cluster_name: str, wanted: int) -> int:
        """Hold a port for the server of a cluster: ``wanted`` if it is free, else another."""
        return int(self._ask("reserve_port", cluster_name=cluster_name, wanted=wanted))

    def put(self, cluster_name: str, data: object) -> None:
        """Store data of a cluster in a secret place."""
        self._ask("put", cluster_name=cluster_name, data=data)

    def get(self, cluster_name: str) -> Any:
        """Return the stored data of a cluster; ``None`` where there is none."""
        return self._ask("get", cluster_name=cluster_name)

    def delete(self, cluster_name: str) -> None:
        """Remove the stored data and the reserved port of a cluster; idempotent."""
        self._ask("delete", cluster_name=cluster_name)

    def add_shared(self, name: str) -> None:
        """Make something that all clusters of the account use, unless it is there."""
        self._ask("add_shared", name=name)

    def remove_shared(self, name: str) -> None:
        """Remove something that all clusters of the account use; idempotent."""
        self._ask("remove_shared", name=name)

    def shared(self) -> list[str]:
        """Return the names of what the clusters of the account share."""
        return list(self._ask("shared"))

    def resources(self, cluster_name: str | None = None) -> list[str]:
        """Return a line for all that is there of one cluster or, without shared things, of all."""
        return list(self._ask("resources", cluster_name=cluster_name))

    def cluster_names(self) -> list[str]:
        """Return the names of all clusters of which something is there."""
        return list(self._ask("cluster_names"))

    def reset(self) -> None:
        """End and remove all that the account has."""
        self._ask("reset")

    def ping(self) -> None:
        """Find out whether the platform answers."""
        self._ask("ping")

    def _ask(self, request: str, **arguments: Any) -> Any:
        # A connection for each request: one that an alarm interrupts leaves nothing half-read.
        try:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(_TIMEOUT)
                peer.connect(self.path)
                with open_wire(peer, self.authkey, _TIMEOUT) as wire:
                    wire.send((request, arguments))
                    succeeded, answer = wire.recv()
        except (*REFUSALS, EOFError, OSError) as error:
            raise CloudError(
                f"The memory cloud at {self.path} does not answer ({error!r}): it was closed, or "
                "its key is another."
            ) from error
        if not succeeded:
            raise answer
        return answer


def new_id(role: str) -> str:
    """Return an id that no other container has."""
    return f"{role}-{secrets.token_hex(6)}"


class MemoryCloud:
    """The platform itself: a process that ends with :meth:`close`, or when its parent is gone.

    Attributes
    ----------
    address
        For its users.
    """

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="memory-", dir=os.environ.get("XDG_RUNTIME_DIR"))
        self.address = CloudAddress(f"{self._folder}/socket", secrets.token_bytes(32))
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._introduce()
        except BaseException:
            self.close()
            raise

    def _introduce(self) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise AssertionError("both are pipes")
        stdin.write(self.address.authkey)
        stdin.flush()
        answers, _, _ = select.select([stdout], [], [], _TIMEOUT)
        if not answers or not stdout.read(1):
            raise CloudError(f"The memory cloud did not start within {_TIMEOUT:g} s.")
        stdout.close()

    def close(self) -> None:
        """End all containers and the platform, and remove its files; idempotent."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        # A forked child of ours may hold the other end of the pipe.
        self._process.terminate()
        try:
            self._process.wait(_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_TIMEOUT)
        if Path(self._folder).is_dir():
            shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()
