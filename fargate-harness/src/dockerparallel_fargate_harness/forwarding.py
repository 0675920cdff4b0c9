"""Forward TCP from the public addresses of tasks to their containers.

A public address is one of this machine's loopback addresses, of which Linux answers on all.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any

Endpoint = tuple[str, int]
CHUNK = 65536
CONNECT_SECONDS = 5.0
CALL_SECONDS = 10.0
# Of the second and third number of the addresses.
_FIRST_SECOND, _SECONDS, _THIRDS = 200, 50, 256
# Between processes that follow each other: some thousand tasks.
_APART = 13


def loopback_addresses() -> Iterator[str]:
    """Yield loopback addresses that are fit to be public ones, away from 127.0.0.1.

    Harnesses that run at the same time begin at other addresses, each by the id of its process.
    """
    blocks = _SECONDS * _THIRDS
    first = os.getpid() * _APART % blocks
    for number in range(first, first + blocks):
        second, third = divmod(number % blocks, _THIRDS)
        for fourth in range(1, 255):
            yield f"127.{_FIRST_SECOND + second}.{third}.{fourth}"


class Forwarder:
    """Listeners, each of which forwards to one endpoint, in one thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._listeners: dict[Endpoint, asyncio.Server] = {}
        self._connections: dict[Endpoint, set[asyncio.Task[None]]] = {}
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="fargate-forwarding", daemon=True
        )
        self._thread.start()

    def forward(self, address: str, targets: Mapping[int, Endpoint]) -> None:
        """Forward exactly these ports of an address; connections to closed ports go on.

        Raises
        ------
        OSError
            A port of the address is taken.
        """
        self._call(self._set(address, dict(targets)))

    def drop(self, address: str) -> None:
        """Forward nothing of an address any more, and end its connections."""
        self._call(self._drop(address))

    def ports(self, address: str) -> set[int]:
        """Return the ports of an address that are forwarded."""
        return {port for host, port in list(self._listeners) if host == address}

    def close(self) -> None:
        """End everything."""
        for address in {host for host, _ in list(self._listeners)}:
            self.drop(address)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)

    async def _set(self, address: str, targets: dict[int, Endpoint]) -> None:
        for host, port in list(self._listeners):
            if host == address and port not in targets:
                self._listeners.pop((host, port)).close()
        for port, target in targets.items():
            if (address, port) not in self._listeners:
                await self._listen((address, port), target)

    async def _listen(self, at: Endpoint, target: Endpoint) -> None:
        connections = self._connections.setdefault(at, set())

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 -- a handler of asyncio's runs in a task
            connections.add(task)
            try:
                await _forward(reader, writer, target)
            except asyncio.CancelledError:
                # Only `_drop` cancels, and nobody waits for the connection's end.
                writer.transport.abort()
            finally:
                connections.discard(task)

        self._listeners[at] = await asyncio.start_server(accept, *at)

    async def _drop(self, address: str) -> None:
        await self._set(address, {})
        for at in [at for at in self._connections if at[0] == address]:
            tasks = self._connections.pop(at)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Endpoint
) -> None:
    try:
        opened = asyncio.open_connection(*target)
        far_reader, far_writer = await asyncio.wait_for(opened, CONNECT_SECONDS)
    except (OSError, TimeoutError):
        # Nothing listens in the container (yet): the caller sees its connection reset.
        writer.transport.abort()
        return
    try:
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
    finally:
        for end in (writer, far_writer):
            end.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # An end that breaks off is the connection's normal end here; the other half sees it next.
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
