"""A server of the memory backend outside every cluster."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from memory_cloud import CloudAddress, new_id
from memory_tasks import PASSWORD, PORT

from dockerparallel import ExternalServer, Status, WaitTimeoutError

HOST = "127.0.0.1"
_SECONDS = 10.0


@contextmanager
def external_server(cloud: CloudAddress) -> Iterator[ExternalServer]:
    """Run a server on the platform for the block, which no cluster knows of.

    It listens already when the block begins.

    Raises
    ------
    WaitTimeoutError
        It does not listen in time.
    """
    name = new_id("outside")
    port = cloud.reserve_port(name, 0)
    password = secrets.token_urlsafe(16)
    cloud.run(name, "server", "memory-server", {PORT: str(port)}, {PASSWORD: password}, port=port)
    try:
        _wait(cloud, name)
        yield ExternalServer(
            public_ip=HOST,
            public_port=port,
            private_ip=HOST,
            private_port=port,
            password=password,
        )
    finally:
        cloud.kill([item.id for item in cloud.containers(name)])
        cloud.delete(name)


def _wait(cloud: CloudAddress, name: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while cloud.containers(name)[0].status is not Status.RUNNING:
        if time.monotonic() > deadline:
            raise WaitTimeoutError(f"The external server does not listen after {_SECONDS:g} s.")
        time.sleep(0.001)
