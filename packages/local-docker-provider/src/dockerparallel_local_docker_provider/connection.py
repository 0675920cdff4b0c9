"""The provider's connection to its engine, made when it is first needed."""

from __future__ import annotations

import os
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

    @property
    def engine(self) -> Engine:
        """The engine; may raise what :class:`Engine` raises, and then tries again next time."""
        # A forked child must not talk on its parent's connections; and ssh may have lost its host.
        lost = self._tunnel is not None and not self._tunnel.lives
        if self._engine is None or self._pid != os.getpid() or lost:
            self.close()
            address = find_engine(self.options.docker_host, self.options.context)
            url = address.url
            if address.is_ssh:
                self._tunnel = forwarded_engine(address, self.options.timeout)
                url = f"unix://{self._tunnel.local}"
            self._pid = os.getpid()
            connections = self.options.parallelism + 2
            self._engine = Engine(address, url, self.options.timeout, connections)
        return self._engine

    @property
    def size(self) -> EngineSize:
        """The cores and memory of the engine's machine, asked for once."""
        if self._size is None:
            self._size = self.engine.size()
        return self._size

    def close(self) -> None:
        """Close the connections of this process; the next use opens them anew."""
        if self._pid == os.getpid():
            if self._engine is not None:
                self._engine.close()
            if self._tunnel is not None:
                self._tunnel.close()
        self._engine = self._tunnel = None

    def __getstate__(self) -> dict[str, object]:
        """Leave the open connections behind."""
        return {**vars(self), "_engine": None, "_tunnel": None, "_size": None, "_pid": 0}
