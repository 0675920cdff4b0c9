"""The process of the memory cloud, which ``memory_cloud.MemoryCloud`` starts.

It answers one request after the other, without a thread, since it forks. It ends by SIGTERM, or
when its standard input does, which its parent holds.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from memory_cloud import CloudError, CloudPortError
from memory_cloud_container import IMAGES, Container
from memory_wire import REFUSALS, accept_wire

HOST = "127.0.0.1"

_REQUESTS = frozenset(
    "run status kill crash forget containers reserve_port put get delete add_shared remove_shared "
    "shared resources cluster_names reset ping".split()
)
# Requests come at once from those who connect at all.
_REQUEST_SECONDS = 5.0
_KEY_BYTES = 32


class Platform:
    """All that the platform knows; the requests are those of ``memory_cloud.CloudAddress``.

    Parameters
    ----------
    folder
        For the files of its containers.
    life
        A pipe that ends with this process.
    """

    def __init__(self, folder: Path, life: int) -> None:
        self._folder = folder
        self._life = life
        self._containers: dict[str, Container] = {}
        self._data: dict[str, Any] = {}
        self._ports: dict[str, socket.socket] = {}
        self._shared: list[str] = []

    def answer(self, request: str, arguments: dict[str, Any]) -> Any:
        """Do what a user asks for."""
        if request not in _REQUESTS:
            raise CloudError(f"The memory cloud knows no request {request!r}.")
        return getattr(self, request)(**arguments)

    def look(self) -> None:
        """Notice which containers have ended."""
        for container in self._containers.values():
            container.look()

    def run(
        self,
        *,
        secrets: dict[str, str],
        command: list[str] | None,
        **shown: Any,
    ) -> None:
        container = Container(**shown, folder=self._folder / shown["id"])
        if container.id in self._containers:
            raise CloudError(f"There is a container {container.id!r} already.")
        if command is None and container.image not in IMAGES:
            raise CloudError(f"There is no image {container.image!r}: {', '.join(IMAGES)}.")
        if container.role == "server":
            for other in self._of(container.cluster_name, "server"):
                if not other.ended:
                    raise CloudError(f"Cluster {other.cluster_name!r} has a server, {other.id}.")
        listener = self._ports.pop(container.cluster_name, None) if container.port else None
        self._containers[container.id] = container
        try:
            container.start(secrets, command, listener, self._life)
        except BaseException:
            self.kill([container.id])
            raise
        finally:
            if listener is not None:
                listener.close()

    def status(self, ids: list[str]) -> list[str]:
        known = self._containers
        return [known[i].status() if i in known else "stopped" for i in ids]

    def kill(self, ids: list[str]) -> list[bool]:
        self.crash(ids)
        self.forget(ids)
        return [i not in self._containers for i in ids]

    def crash(self, ids: list[str]) -> None:
        for i in ids:
            if i in self._containers:
                self._containers[i].end("was killed")

    def forget(self, ids: list[str]) -> None:
        for i in ids:
            if i in self._containers and self._containers[i].ended:
                shutil.rmtree(self._containers.pop(i).folder)

    def containers(self, cluster_name: str | None, role: str | None) -> list[dict[str, Any]]:
        return [
            {
                "id": container.id,
                "cluster_name": container.cluster_name,
                "role": container.role,
                "image": container.image,
                "environment": container.environment,
                "labels": container.labels,
                "status": container.status(),
                "port": container.port,
                "pids": tuple(container.processes),
                "ended": container.ended,
            }
            for container in self._of(cluster_name, role)
        ]

    def reserve_port(self, cluster_name: str, wanted: int) -> int:
        self._release_port(cluster_name)
        # Bound from now on, so that nobody else gets it before the server listens there.
        listener = self._ports[cluster_name] = socket.socket()
        try:
            listener.bind((HOST, wanted))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                self._release_port(cluster_name)
                raise CloudPortError(
                    f"The memory cloud cannot listen on port {wanted} ({error}): use another "
                    "server_port."
                ) from error
            listener.bind((HOST, 0))
        return int(listener.getsockname()[1])

    def put(self, cluster_name: str, data: Any) -> None:
        self._data[cluster_name] = data

    def get(self, cluster_name: str) -> Any:
        return self._data.get(cluster_name)

    def delete(self, cluster_name: str) -> None:
        self._data.pop(cluster_name, None)
        self._release_port(cluster_name)

    def add_shared(self, name: str) -> None:
        if name not in self._shared:
            self._shared.append(name)

    def remove_shared(self, name: str) -> None:
        if name in self._shared:
            self._shared.remove(name)

    def shared(self) -> list[str]:
        return self._shared

    def resources(self, cluster_name: str | None) -> list[str]:
        found = [
            f"container {item.id} of {item.cluster_name} ({item.status()})"
            for item in self._of(cluster_name)
        ]
        for kind, names in (("stored data", self._data), ("reserved port", self._ports)):
            found += [f"{kind} of {n}" for n in names if cluster_name in (None, n)]
        return found

    def cluster_names(self) -> list[str]:
        names = [container.cluster_name for container in self._containers.values()]
        return sorted({*names, *self._data, *self._ports})

    def reset(self) -> None:
        self.kill(list(self._containers))
        for name in self.cluster_names():
            self.delete(name)
        self._shared.clear()

    def ping(self) -> None:
        pass

    def _of(self, cluster_name: str | None, role: str | None = None) -> list[Container]:
        return [
            container
            for container in self._containers.values()
            if cluster_name in (None, container.cluster_name) and role in (None, container.role)
        ]

    def _release_port(self, cluster_name: str) -> None:
        if cluster_name in self._ports:
            self._ports.pop(cluster_name).close()


def serve(platform: Platform, listener: socket.socket, key: bytes, signals: int) -> None:
    """Answer requests until a signal or the end of standard input says to end."""
    while True:
        readable, _, _ = select.select([listener, sys.stdin, signals], [], [])
        if sys.stdin in readable:
            return
        if signals in readable and signal.SIGTERM in os.read(signals, 1000):
            return
        platform.look()
        if listener in readable:
            # Whoever does not know the key, or goes away, gets no answer.
            with suppress(*REFUSALS, EOFError, OSError):
                _answer(platform, listener.accept()[0], key)


def _answer(platform: Platform, peer: socket.socket, key: bytes) -> None:
    with accept_wire(peer, key, _REQUEST_SECONDS) as wire:
        request, arguments = wire.recv()
        platform.look()
        try:
            answer = (True, platform.answer(request, arguments))
        except CloudError as error:
            answer = (False, error)
        except Exception as error:  # noqa: BLE001 - the platform lives on, and the user is told
            answer = (False, CloudError(f"The memory cloud failed at {request}: {error!r}"))
        wire.send(answer)


def main() -> None:
    """Run the platform in the folder that the first argument names."""
    folder = Path(sys.argv[1])
    key = os.read(0, _KEY_BYTES)
    signals, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    # Nobody writes to it: its end is that of this process.
    life, _life_of_this_process = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(128)
        os.write(1, b"r")
        os.dup2(2, 1)
        platform = Platform(folder, life)
        try:
            serve(platform, listener, key, signals)
        finally:
            platform.reset()
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
