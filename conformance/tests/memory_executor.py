"""The client's side of the memory backend: an executor over the workers."""

from __future__ import annotations

import pickle
import socket
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

from memory_tasks import CLIENT
from memory_wire import REFUSALS, Wire, limit_silence, open_wire

from dockerparallel import BackendError, BrokenClusterError, Endpoint

if TYPE_CHECKING:
    from dockerparallel import DockerCluster

_T = TypeVar("_T")

_PAUSE_SECONDS = 0.002


class WrongPasswordError(BackendError):
    """The server has another password, or is no server of this backend."""


class MemoryExecutor(Executor):
    """Runs calls on the workers of a cluster; it and its futures fail when the server dies.

    Parameters
    ----------
    endpoint
        Where the server answers.
    password
        Its password.
    cluster
        A handle to keep alive until the executor is shut down.
    timeout
        Seconds for the server to answer.
    attempts
        How many workers a task may take with it before it fails.

    Raises
    ------
    BackendError
        The server cannot be reached in time, or refuses the password.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        password: str,
        *,
        cluster: DockerCluster | None = None,
        timeout: float = 5.0,
        attempts: int = 3,
    ) -> None:
        self._calls = _Calls(connect(endpoint, password, timeout), endpoint)
        self._attempts = attempts
        self._cluster = cluster
        # What was submitted is still done, as by the executors of the standard library.
        weakref.finalize(self, self._calls.close_when_done).atexit = False

    @property
    def broken(self) -> bool:
        """Whether the server is gone, or the executor was shut down."""
        return self._calls.closing or self._calls.ended()

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Send a call to the workers; see :meth:`concurrent.futures.Executor.submit`."""
        return self._calls.send((fn, args, kwargs), self._attempts)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and let the cluster go; idempotent."""
        if cancel_futures:
            self._calls.cancel()
        self._calls.close_when_done()
        self._cluster = None
        if wait:
            self._calls.wait()

    def close(self) -> None:
        """End at once; open futures fail."""
        self._calls.close()
        self._cluster = None


class _Calls:
    """The calls that are on their way; it holds no executor, so that one can be collected."""

    def __init__(self, wire: Wire, endpoint: Endpoint) -> None:
        self.error: BrokenClusterError | None = None
        self.closing = False
        self._wire = wire
        self._endpoint = endpoint
        self._futures: dict[int, Future[Any]] = {}
        self._next_number = 0
        self._lock = threading.RLock()
        threading.Thread(target=self._receive, name="memory-results", daemon=True).start()

    def send(self, call: tuple[Any, ...], attempts: int) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            pickled = pickle.dumps(call)
        except Exception as error:  # noqa: BLE001 - the future has it, as in the standard library
            future.set_exception(error)
            return future
        with self._lock:
            if self.closing:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self.error is not None:
                raise self.error
            number = self._next_number
            self._next_number += 1
            self._futures[number] = future
        try:
            with self._lock:
                self._wire.send((number, attempts, pickled))
        except OSError:
            # The receiving thread notices too, and fails this future with the others.
            self._hang_up()
        return future

    def ended(self) -> bool:
        """Tell whether the server has gone, also if the receiving thread is yet to notice."""
        with self._lock:
            if self._wire.closed:
                return True
            with socket.socket(fileno=self._wire.fileno()) as view:
                try:
                    return view.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
                except BlockingIOError:
                    # It is there, and has nothing to say.
                    return False
                except OSError:
                    return True
                finally:
                    view.detach()

    def cancel(self) -> None:
        with self._lock:
            for future in list(self._futures.values()):
                future.cancel()
            self._futures.clear()

    def wait(self) -> None:
        with self._lock:
            futures = list(self._futures.values())
        wait(futures)

    def close_when_done(self) -> None:
        with self._lock:
            self.closing = True
            if not self._futures:
                self._hang_up()

    def close(self) -> None:
        with self._lock:
            self.closing = True
            self._hang_up()

    def _hang_up(self) -> None:
        """Wake the receiving thread, which closes the connection."""
        with self._lock:
            if self._wire.closed:
                return
            with socket.socket(fileno=self._wire.fileno()) as view:
                try:
                    view.shutdown(socket.SHUT_RDWR)
                except OSError:
                    # The server was faster.
                    pass
                finally:
                    view.detach()

    def _receive(self) -> None:
        try:
            while True:
                number, outcome = self._wire.recv()
                self._settle(number, outcome)
        except (EOFError, OSError):
            self._fail_all()

    def _settle(self, number: int, outcome: bytes) -> None:
        with self._lock:
            future = self._futures.pop(number, None)
            if self.closing and not self._futures:
                self._hang_up()
        if future is None or not future.set_running_or_notify_cancel():
            return
        try:
            succeeded, value = pickle.loads(outcome)  # noqa: S301 - the server knows the password
        except Exception as error:  # noqa: BLE001 - whatever it is, the result cannot be read
            unreadable = BackendError(f"The result of a task cannot be read here: {error!r}")
            future.set_exception(unreadable)
            return
        if succeeded:
            future.set_result(value)
        else:
            future.set_exception(value)

    def _fail_all(self) -> None:
        host, port = self._endpoint
        with self._lock:
            self.error = BrokenClusterError(
                f"The connection to the server at {host}:{port} has ended: start the cluster again."
            )
            self._wire.close()
            futures = list(self._futures.values())
            self._futures.clear()
        for future in futures:
            if future.set_running_or_notify_cancel():
                future.set_exception(self.error)


def connect(endpoint: Endpoint, password: str, timeout: float) -> Wire:
    """Open a client's connection, and wait at most ``timeout`` seconds until that succeeds.

    Raises
    ------
    WrongPasswordError
        The server refuses the password, or is none of ours.
    BackendError
        It cannot be reached in time.
    """
    host, port = endpoint
    deadline = time.monotonic() + timeout
    while True:
        left = max(deadline - time.monotonic(), 0.001)
        try:
            wire = open_wire(
                socket.create_connection((host, port), timeout=left), password.encode(), left
            )
            wire.send(CLIENT)
            limit_silence(wire.fileno(), 0)
            return wire
        except REFUSALS as error:
            raise WrongPasswordError(
                f"The server at {host}:{port} refuses the password: set "
                "cluster.config.server_password, or ExternalServer(password=...)."
            ) from error
        except (EOFError, OSError) as error:
            if time.monotonic() + _PAUSE_SECONDS > deadline:
                raise BackendError(
                    f"The server at {host}:{port} cannot be reached within {timeout:g} s "
                    f"({type(error).__name__}: {error}): see whether it runs."
                ) from error
            time.sleep(_PAUSE_SECONDS)
