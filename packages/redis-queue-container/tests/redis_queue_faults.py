"""What the tests of faults share: a way to the server that can be cut, and a count of results."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from redis_queue_fault_tasks import arguments, work
from redis_queue_harness import until

from dockerparallel import Endpoint
from dockerparallel_redis_queue_container.client import QueueClient

_T = TypeVar("_T")


class Proxy:
    """Passes connections on to the server, until it is told to hold, drop or lose them.

    It runs in a thread of its own, from its start to its end as a context manager.
    """

    def __init__(self, server: Endpoint) -> None:
        self._server = server
        self._delay = 0.0
        self.pieces = 0
        self._links: set[Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self.endpoint = Endpoint("127.0.0.1", self._do(self._listen()))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def stall(self) -> None:
        """Hold what is sent, in both directions; connections are made and hear nothing."""
        self._do(self._set(passes=False))

    def resume(self) -> None:
        """Pass on what was held, and what comes from now on."""
        self._do(self._set(passes=True))

    def slow_down(self, seconds: float) -> None:
        """Pass each piece on so much later, in both directions."""
        self._delay = seconds

    def drop(self) -> None:
        """Reset all connections; new ones are passed on, unless all is held."""
        self._do(self._drop())

    def lose(self) -> None:
        """Pass nothing more on for the connections that are there, and tell nobody."""
        self._do(self._lose())

    # In the thread of the proxy --------------------------------------------------------------

    def _do(self, step: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result(10)

    async def _listen(self) -> int:
        self._open = asyncio.Event()
        self._open.set()
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._listener.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        self._listener.close()
        await self._drop()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _set(self, *, passes: bool) -> None:
        if passes:
            self._open.set()
        else:
            self._open.clear()

    async def _drop(self) -> None:
        for link in self._links:
            link.cut()

    async def _lose(self) -> None:
        for link in self._links:
            link.lost = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link([writer])
        self._links.add(link)
        # What was cut off is nobody's any more.
        with suppress(OSError, asyncio.CancelledError):
            await self._open.wait()
            far_reader, far = await asyncio.open_connection(self._server.host, self._server.port)
            link.writers.append(far)
            if not link.is_cut:
                await asyncio.gather(
                    self._pass_on(link, reader, far), self._pass_on(link, far_reader, writer)
                )
        self._links.discard(link)
        link.cut()

    async def _pass_on(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            self.pieces += 1
            await asyncio.sleep(self._delay)
            await self._open.wait()
            if not link.lost:
                writer.write(data)
                await writer.drain()
        if not link.lost:
            writer.close()


@dataclass(eq=False)
class Link:
    """One connection through the proxy."""

    writers: list[asyncio.StreamWriter]
    lost: bool = False
    is_cut: bool = False

    def cut(self) -> None:
        """Close it with a reset, so that both sides notice at once."""
        self.is_cut = True
        for writer in self.writers:
            link: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Tally:
    """The futures of many tasks, how often each told its result, and whether that is right."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []
        self._told: Counter[int] = Counter()
        self._lock = threading.Lock()

    def submit(self, client: QueueClient, numbers: Iterable[int], slow: float = 0.05) -> None:
        for number in numbers:
            future = client.submit(work, *arguments(number, slow))
            future.add_done_callback(lambda _future, number=number: self._tell(number))  # type: ignore[misc]
            self.futures.append(future)

    def _tell(self, number: int) -> None:
        with self._lock:
            self._told[number] += 1

    @property
    def done(self) -> int:
        return sum(self._told.values())

    def finished(self, seconds: float) -> bool:
        """Wait so long, and tell whether all are done."""
        return not wait(self.futures[:], seconds).not_done

    def check(self) -> None:
        """Wait for all; each must have told once, and be what its own task returns."""
        for future in self.futures:
            number, total, data = future.result(60)
            _, _, sent, size = arguments(number)
            assert total == sum(sent[:: max(1, len(sent) // 100)])
            assert data == bytes([number % 256]) * size
        results = [future.result(0)[0] for future in self.futures]
        assert len(set(results)) == len(results)
        until(lambda: self.done >= len(self.futures), "the callbacks")
        assert set(self._told.values()) == {1}
        assert len(self._told) == len(self.futures)
