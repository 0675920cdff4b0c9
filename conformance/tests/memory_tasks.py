"""The server and the workers of the memory backend: a queue of pickled calls.

A client sends calls, a worker takes one at a time, and answers go back to the client that sent
the call. A call whose worker dies is given to another, a few times. All of it is in the memory of
the server's process.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from memory_wire import REFUSALS, Wire, accept_wire, limit_silence, open_wire

from dockerparallel import BackendError
from dockerparallel.environment import BIND_ADDRESS_VARIABLE, read_secret

PORT = "MEMORY_PORT"
SERVER_HOST = "MEMORY_SERVER_HOST"
SERVER_PORT = "MEMORY_SERVER_PORT"
WORKERS = "MEMORY_WORKERS"
PASSWORD = "MEMORY_PASSWORD"

CLIENT = "client"
WORKER = "worker"

_HANDSHAKE_SECONDS = 10.0
_SERVER_SECONDS = 30.0
_PAUSE_SECONDS = 0.001


@dataclass
class _Client:
    wire: Wire
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, number: int, outcome: bytes) -> None:
        try:
            with self.lock:
                self.wire.send((number, outcome))
        except OSError:
            # It is gone, and wants no answer any more.
            return


@dataclass
class _Call:
    client: _Client
    number: int
    attempts: int
    call: bytes


class TaskServer:
    """Hands calls to workers; one thread for each connection."""

    def __init__(self, password: str) -> None:
        self._key = password.encode()
        self._waiting: deque[_Call] = deque()
        self._changed = threading.Condition()

    def serve(self, listener: socket.socket) -> None:
        """Serve for ever."""
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=self._welcome, args=(peer,), daemon=True).start()

    def _welcome(self, peer: socket.socket) -> None:
        try:
            wire = accept_wire(peer, self._key, _HANDSHAKE_SECONDS)
        except (*REFUSALS, EOFError, OSError):
            # It does not know the password, or went away: there is nobody to tell.
            return
        with wire:
            try:
                role = wire.recv()
                limit_silence(wire.fileno(), 0)
                if role == CLIENT:
                    self._take_calls(_Client(wire))
                else:
                    self._feed(wire)
            except (EOFError, OSError):
                # It has ended; what it left is seen to below.
                return

    def _take_calls(self, client: _Client) -> None:
        try:
            while True:
                number, attempts, call = client.wire.recv()
                self._queue(_Call(client, number, attempts, call))
        finally:
            with self._changed:
                kept = [call for call in self._waiting if call.client is not client]
                self._waiting = deque(kept)

    def _queue(self, call: _Call, *, first: bool = False) -> None:
        with self._changed:
            if first:
                self._waiting.appendleft(call)
            else:
                self._waiting.append(call)
            self._changed.notify()

    def _feed(self, wire: Wire) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                call = self._waiting.popleft()
            if wire.poll():
                # It says nothing unasked: it has died while it had nothing to do.
                self._queue(call, first=True)
                return
            try:
                wire.send_bytes(call.call)
                outcome = wire.recv_bytes()
            except (EOFError, OSError):
                self._retry(call)
                return
            call.client.answer(call.number, outcome)

    def _retry(self, call: _Call) -> None:
        call.attempts -= 1
        if call.attempts > 0:
            self._queue(call, first=True)
        else:
            error = BackendError("Each worker that ran this task has died; so it is given up.")
            call.client.answer(call.number, pickle.dumps((False, error)))


def run_server(ready: Callable[[], object], listener: socket.socket | None) -> None:
    """Serve as the environment says; on ``listener``, where it is bound to the right port."""
    port = int(os.environ[PORT])
    password = _password()
    if listener is None or listener.getsockname()[1] != port:
        # No name: all interfaces of the container.
        listener = socket.create_server((os.environ.get(BIND_ADDRESS_VARIABLE, ""), port))
    listener.listen(128)
    ready()
    TaskServer(password).serve(listener)


def run_worker(ready: Callable[[], object], _listener: socket.socket | None) -> None:
    """Run calls; without the server, do nothing until the container is ended."""
    key = _password().encode()
    try:
        with _connected(os.environ[SERVER_HOST], int(os.environ[SERVER_PORT]), key) as wire:
            wire.send(WORKER)
            limit_silence(wire.fileno(), 0)
            ready()
            while True:
                wire.send_bytes(outcome_of(wire.recv_bytes()))
    except (EOFError, OSError):
        # As on many platforms, the container goes on, and costs, until it is ended; also where the
        # server goes while it is greeted.
        signal.pause()


def outcome_of(call: bytes) -> bytes:
    """Run a pickled call and return, pickled, whether it succeeded and its result or error."""
    try:
        function, args, kwargs = pickle.loads(call)  # noqa: S301 - the password was checked
        return pickle.dumps((True, function(*args, **kwargs)))
    except BaseException as error:  # noqa: BLE001 - the client raises it
        return _failure(error)


def _failure(error: BaseException) -> bytes:
    text = "".join(traceback.format_exception(error))
    try:
        error.add_note(f"On the worker:\n{text}")
        outcome = pickle.dumps((False, error))
        pickle.loads(outcome)  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - whatever its own methods raise, it cannot travel
        return pickle.dumps((False, BackendError(f"A task failed with an error:\n{text}")))
    return outcome


def _connected(host: str, port: int, key: bytes) -> Wire:
    deadline = time.monotonic() + _SERVER_SECONDS
    while True:
        try:
            return open_wire(
                socket.create_connection((host, port), timeout=_SERVER_SECONDS),
                key,
                _SERVER_SECONDS,
            )
        except ConnectionRefusedError:
            # Workers are started while the server still starts.
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


def _password() -> str:
    password = read_secret(PASSWORD)
    if password is None:
        raise BackendError(f"The secret {PASSWORD} has not reached this container.")
    return password


def main(role: str) -> None:
    """Run a server, or all workers of a container, in a process that a person has started."""
    run: dict[str, Callable[..., Any]] = {"server": run_server, "worker": run_worker}
    if role == "worker":
        for _ in range(int(os.environ[WORKERS]) - 1):
            if os.fork() == 0:
                break
    run[role](lambda: None, None)


if __name__ == "__main__":
    main(sys.argv[1])
