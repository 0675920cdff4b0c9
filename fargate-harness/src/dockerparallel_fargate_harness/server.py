"""The server's process: it serves AWS's API until it is told to stop or its parent is gone."""

from __future__ import annotations

import functools
import json
import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from dockerparallel_fargate_harness.addresses import PublicAddresses
from dockerparallel_fargate_harness.control import PREFIX, Control
from dockerparallel_fargate_harness.docker_runtime import DockerRuntime, connect
from dockerparallel_fargate_harness.gateway import Gateway
from dockerparallel_fargate_harness.leftovers import remove_leftovers
from dockerparallel_fargate_harness.lifecycle import Lifecycle
from dockerparallel_fargate_harness.moto_app import MotoApp
from dockerparallel_fargate_harness.runtime import NoContainers
from dockerparallel_fargate_harness.scheduler import Scheduler
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.wire import FIRST_ERROR, Answer, parse

# Its thousands of machine images would make every start and reset a second slower.
NO_IMAGES = {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
CHECKIP_PATH = "/harness/checkip"
PARENT_SECONDS = 0.5


@dataclass(frozen=True)
class Options:
    """How a server is started.

    Parameters
    ----------
    port : int, default 0
        The port on 127.0.0.1; 0 takes a free one.
    containers : bool, default True
        Whether tasks run as containers; otherwise they only pass their states.
    internet : bool, default False
        Whether containers reach what this machine reaches.
    client_address : str, default "203.0.113.7"
        The address that the client has on the internet.
    region : str, default "us-east-1"
        The region whose resources are listed as left.
    watch_stdin : bool, default False
        Whether to end when stdin is closed, as it is when the parent is gone.
    """

    port: int = 0
    containers: bool = True
    internet: bool = False
    client_address: str = "203.0.113.7"
    region: str = "us-east-1"
    watch_stdin: bool = False


class Server:
    """Everything that serves one account.

    Parameters
    ----------
    options : Options
        How it is started.

    Raises
    ------
    DockerUnavailableError
        Containers are wanted, and no engine answers.
    """

    def __init__(self, options: Options) -> None:
        state = State(client_address=options.client_address)
        self._scheduler = Scheduler()
        self._addresses = PublicAddresses(state, forward=options.containers)
        self.identifier = f"{os.getpid()}-{secrets.token_hex(4)}"
        runtime: Callable[..., Any] = NoContainers
        if options.containers:
            client = connect()
            remove_leftovers(client)
            runtime = functools.partial(
                DockerRuntime,
                client,
                self.identifier,
                lock=state.lock,
                internet=options.internet,
            )
        self._lifecycle = Lifecycle(state, self._scheduler, self._addresses, runtime)
        moto = MotoApp()
        self._gateway = Gateway(state, self._lifecycle, self._addresses, moto)
        self._control = Control(state, self._lifecycle, self._addresses, moto, options.region)
        self._checkip = Answer(200, "text/plain", f"{options.client_address}\n".encode())
        self._moto = moto
        self._http = _listener(options.port, self)
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"

    def serve(self, until: threading.Event) -> None:
        """Serve until the event is set, and then remove everything."""
        thread = threading.Thread(target=self._http.serve_forever, name="fargate-http", daemon=True)
        thread.start()
        until.wait()
        self._http.shutdown()
        thread.join()
        self._http.server_close()
        self._scheduler.close()
        self._lifecycle.runtime.close()
        self._addresses.close()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        answer = self._answer(environ, body)
        start_response(
            f"{answer.status} {'OK' if answer.status < FIRST_ERROR else 'Error'}",
            [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))],
        )
        return [answer.body]

    def _answer(self, environ: dict[str, Any], body: bytes) -> Answer:
        path = str(environ.get("PATH_INFO", ""))
        if path.startswith(PREFIX):
            return self._control.answer(path, body)
        if path == CHECKIP_PATH:
            return self._checkip
        request = parse(environ, body)
        if request is None:
            return self._moto.answer(environ, body)
        return self._gateway.answer(request, environ, body)


def serve(options: Options) -> None:
    """Serve in this process: write one line of JSON with the endpoint, and end when told to.

    Raises
    ------
    DockerUnavailableError
        Containers are wanted, and no engine answers.
    """
    os.environ.update(NO_IMAGES)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = Server(options)
    ready = {"endpoint": server.endpoint, "id": server.identifier, "pid": os.getpid()}
    print(json.dumps(ready), flush=True)  # noqa: T201 -- whoever started this waits for it
    if options.watch_stdin:
        threading.Thread(target=_watch_parent, args=(over,), daemon=True).start()
        threading.Thread(target=_watch_stdin, args=(over,), daemon=True).start()
    server.serve(over)


def _watch_stdin(over: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        continue
    over.set()


def _watch_parent(over: threading.Event) -> None:
    # A child that the parent forked may hold the other end of stdin, and outlive it.
    parent = os.getppid()
    while not over.wait(PARENT_SECONDS):
        if os.getppid() != parent:
            over.set()


class _Handler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        """Write nothing: the calls are recorded."""


def _listener(port: int, server: Server) -> BaseWSGIServer:
    return make_server("127.0.0.1", port, server, threaded=True, request_handler=_Handler)
