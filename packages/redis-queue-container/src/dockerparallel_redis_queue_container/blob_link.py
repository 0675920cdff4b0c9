"""Carries large values to and from the server without copying them on the way.

redis-py joins the parts of a command and splits replies in portions; for megabytes these copies
cost more than the network. So this speaks the lines of the protocol that a few commands need.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    OutOfMemoryError,
    ResponseError,
)

from dockerparallel import Endpoint
from dockerparallel_redis_queue_container.connection import KEEPALIVE
from dockerparallel_redis_queue_container.hot_line import shut_down, unsent
from dockerparallel_redis_queue_container.large_parts import CHANGEABLE, Buffer

_LINE_LIMIT = 1024
_TRUNCATED = "The server of the queue closed the connection in the middle of a value."


@dataclass
class BlobLink:
    """A connection for large values. Thread-safe; one command at a time; reconnects by itself.

    Parameters
    ----------
    endpoint
        Where the server answers.
    password
        The password of the server.
    timeout
        Seconds that the network may stand still.
    """

    endpoint: Endpoint
    password: str = field(repr=False)
    timeout: float
    _socket: socket.socket | None = None
    _interrupted: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, key: str, value: Buffer, seconds: int) -> None:
        """Store a value that expires after so many seconds; may be repeated.

        Raises
        ------
        redis.OutOfMemoryError
            The memory of the server is full.
        redis.RedisError, OSError
            The connection failed, or the server refused the request.
        """
        with self._talking() as link:
            tail = b"".join(_bulk(text) for text in ("EX", str(seconds)))
            self._send(link, _command_head(5, "SET", key), [value], tail)
            self._line(link)

    def put_field(
        self, key: str, field_name: str, pieces: Sequence[Buffer | bytearray], seconds: int
    ) -> None:
        """Store pieces, one behind the other, as a field of a hash; may be repeated.

        The hash expires after so many seconds. Raises as :meth:`put`.
        """
        with self._talking() as link:
            tail = _command_head(3, "EXPIRE", key, str(seconds))
            self._send(link, _command_head(4, "HSET", key, field_name), pieces, tail)
            refusal = None
            try:
                self._line(link)
            except ResponseError as error:
                # The second command has an answer, too.
                refusal = error
            self._line(link)
        if refusal is not None:
            raise refusal

    def get(self, key: str) -> bytes | None:
        """Return a stored value; ``None`` where there is none.

        Raises
        ------
        redis.RedisError, OSError
            The connection failed, or the server refused the request.
        """
        with self._talking() as link:
            link.sendall(_command_head(2, "GET", key))
            size = int(self._line(link)[1:])
            if size < 0:
                return None
            value = _receive(link, size)
            _receive(link, 2)
            return value

    def get_field(
        self, key: str, field_name: str, parts: Sequence[tuple[str, int]]
    ) -> list[tuple[str, bytes | bytearray]] | None:
        """Return a field of a hash, cut into parts of these kinds and sizes.

        What may be changed comes as a ``bytearray``. ``None`` where there is no field, or not of
        the sizes. Raises as :meth:`get`.
        """
        with self._talking() as link:
            link.sendall(_command_head(3, "HGET", key, field_name))
            size = int(self._line(link)[1:])
            if size < 0:
                return None
            if size != sum(part_size for _, part_size in parts):
                # Another value. It is not read, so the connection is of no use any more.
                self._drop()
                return None
            found = [
                (kind, _receive_into(link, n) if kind == CHANGEABLE else _receive(link, n))
                for kind, n in parts
            ]
            _receive(link, 2)
            return found

    def interrupt(self) -> None:
        """Fail the command that waits for the server, and all later ones; for any thread."""
        self._interrupted = True
        shut_down(self._socket)

    def close(self) -> None:
        """Close the connection; idempotent. The next command opens another."""
        with self._lock:
            self._drop()

    # -----------------------------------------------------------------------------------------

    @contextmanager
    def _talking(self) -> Iterator[socket.socket]:
        """Give the connection for one request, whose failure makes it useless for the next."""
        with self._lock:
            try:
                yield self._connected()
            except ResponseError:
                # An answer like others.
                raise
            except BaseException:
                self._drop()
                raise

    def _send(
        self, link: socket.socket, head: bytes, pieces: Sequence[Buffer | bytearray], tail: bytes
    ) -> None:
        """Send a command whose last argument but those in ``tail`` consists of pieces, and wait."""
        size = sum(memoryview(piece).nbytes for piece in pieces)
        link.sendall(head + b"$%d\r\n" % size)
        for piece in pieces:
            link.sendall(piece)
        link.sendall(b"\r\n" + tail)
        self._wait_for_answer(link)

    def _connected(self) -> socket.socket:
        if self._interrupted:
            raise redis.ConnectionError("The connection was given up.")
        if self._socket is None:
            address = (self.endpoint.host, self.endpoint.port)
            link = socket.create_connection(address, timeout=self.timeout)
            # The kernel keeps the time: one call may then receive a value of any size.
            link.settimeout(None)
            whole = int(self.timeout)
            limit = struct.pack("ll", whole, int((self.timeout - whole) * 1e6))
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEPALIVE.items():
                link.setsockopt(socket.IPPROTO_TCP, option, value)
            self._socket = link
            link.sendall(_command_head(2, "AUTH", self.password))
            self._line(link)
        if self._interrupted:
            raise redis.ConnectionError("The connection was given up.")
        return self._socket

    def _drop(self) -> None:
        link, self._socket = self._socket, None
        if link is not None:
            link.close()

    def _wait_for_answer(self, link: socket.socket) -> None:
        """Wait as long as what was sent is still on its way, and then for an answer."""
        left = None
        while True:
            try:
                link.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                before, left = left, unsent(link)
                if not left or left == before:
                    raise
            else:
                return

    def _line(self, link: socket.socket) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            # One byte at a time would be slow: lines are short, and the longest are errors.
            seen = link.recv(_LINE_LIMIT, socket.MSG_PEEK)
            if not seen:
                raise redis.ConnectionError(_TRUNCATED)
            end = seen.find(b"\n")
            line += link.recv(len(seen) if end < 0 else end + 1)
        if line.startswith(b"-"):
            text = line[1:-2].decode(errors="replace")
            self._raise(text)
        return line[:-2]

    def _raise(self, text: str) -> None:
        kind = text.partition(" ")[0]
        if kind == "OOM":
            raise OutOfMemoryError(text)
        if kind == "LOADING":
            self._drop()
            raise BusyLoadingError(text)
        if kind in {"NOAUTH", "WRONGPASS"}:
            self._drop()
            raise AuthenticationError(text)
        raise ResponseError(text)


def _bulk(text: str) -> bytes:
    data = text.encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


def _command_head(count: int, *parts: str) -> bytes:
    return b"*%d\r\n" % count + b"".join(_bulk(part) for part in parts)


def _receive(link: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        # All in one piece, unless a signal comes in between.
        part = link.recv(size, socket.MSG_WAITALL)
        if not part:
            raise redis.ConnectionError(_TRUNCATED)
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _receive_into(link: socket.socket, size: int) -> bytearray:
    value = bytearray(size)
    view = memoryview(value)
    while view:
        number = link.recv_into(view, 0, socket.MSG_WAITALL)
        if not number:
            raise redis.ConnectionError(_TRUNCATED)
        view = view[number:]
    return value
