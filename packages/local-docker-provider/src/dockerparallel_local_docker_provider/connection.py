"""The provider's connection to its engine, made when it is first needed."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from dockerparallel_local_docker_provider.engine import Engine
from dockerparallel_local_docker_provider.engine_address import find_engine
from dockerparallel_local_docker_provider.records import EngineSize
from dockerparallel_local_docker_provider.ssh import SshForward, forwarded_engine


@dataclass(frozen=True)
class EngineOptions:
    """How to reach the engine; the fields are arguments of ``LocalDockerProvider``."""

    docker_host: str | None
    context: str | None
    timeout: float
    parallelism: int


class EngineConnection:
    """Opens the engine once in each process, and can be copied and pickled, closed as it is then.

    Thread-safe: exported functions are called from any thread.

    Parameters
    ----------
    options
        How to reach it.
    """

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self._engine: Engine | None = None
        self._tunnel: SshForward | None = None
        self._size: EngineSize | None = None
        self._pid = 0
        self._lock = threading.RLock()

    @property
    def engine(self) -> Engine:
        """The engine; may raise what :class:`Engine` raises, and then tries again next time."""
        if self._pid not in {0, os.getpid()}:
            # A forked child must not talk on its parent's connections, nor wait for its threads.
            self.__setstate__(self.options)
        with self._lock:
            # Ssh may have lost its host.
            lost = self._tunnel is not None and not self._tunnel.lives
            if self._engine is None or lost:
                self.close()
                self._pid = os.getpid()
                self._engine = self._open()
            return self._engine

    def _open(self) -> Engine:
        address = find_engine(self.options.docker_host, self.options.context)
        url = address.url
        if address.is_ssh:
            self._tunnel = forwarded_engine(address, self.options.timeout)
            url = f"unix://{self._tunnel.local}"
        return Engine(address, url, self.options.timeout, self.options.parallelism + 2)

    @property
    def size(self) -> EngineSize:
        """The cores and memory of the engine's machine, asked for once."""
        if self._size is None:
            self._size = self.engine.size()
        return self._size

    def close(self) -> None:
        """Close the connections of this process; the next use opens them anew."""
        if self._pid != os.getpid():
            # There are none, or they are a parent's.
            return
        with self._lock:
            if self._engine is not None:
                self._engine.close()
            if self._tunnel is not None:
                self._tunnel.close()
            self._engine = self._tunnel = None

    def __getstate__(self) -> EngineOptions:
        """Leave the open connections behind."""
        return self.options

    def __setstate__(self, options: EngineOptions) -> None:
        """Be as one that was just made."""
        self.__init__(options)  # type: ignore[misc]  # on an object of this very class
