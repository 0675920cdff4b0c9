"""Connections of the in-memory pair: messages of bytes, opened by a key that both sides know."""

from __future__ import annotations

import multiprocessing
import socket
import struct
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any, TypeAlias

Wire: TypeAlias = "Connection[Any, Any]"

# What an attempt to get in ends with where the other side has another key, or is no such server.
# Python 3.11 asserts that the other side speaks the protocol.
REFUSALS = (multiprocessing.AuthenticationError, AssertionError, UnicodeDecodeError)


class SilenceError(OSError):
    """The other side took longer than it may."""


def open_wire(peer: socket.socket, key: bytes, timeout: float) -> Wire:
    """Prove to a server that we know its key, and have it prove the same; the socket is ours now.

    Raises
    ------
    multiprocessing.AuthenticationError, AssertionError, UnicodeDecodeError
        The keys differ, or the other side is no such server; see ``REFUSALS``.
    EOFError, OSError
        The connection broke; ``SilenceError`` where it was silent for ``timeout`` seconds.
    """
    wire = _wire(peer, timeout)
    try:
        answer_challenge(wire, key)
        deliver_challenge(wire, key)
    except BlockingIOError as error:
        wire.close()
        raise SilenceError(f"silent for {timeout:g} s") from error
    except BaseException:
        wire.close()
        raise
    return wire


def accept_wire(peer: socket.socket, key: bytes, timeout: float) -> Wire:
    """Do the server's side of :func:`open_wire`; the errors are the same."""
    wire = _wire(peer, timeout)
    try:
        deliver_challenge(wire, key)
        answer_challenge(wire, key)
    except BaseException:
        wire.close()
        raise
    return wire


def limit_silence(descriptor: int, timeout: float) -> None:
    """Let each read and write of a socket give up after ``timeout`` seconds; 0 for never."""
    interval = struct.pack("ll", int(timeout), int(timeout % 1 * 1e6))
    with socket.socket(fileno=descriptor) as view:
        view.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
        view.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)
        view.detach()


def _wire(peer: socket.socket, timeout: float) -> Wire:
    peer.setblocking(True)
    if peer.family != socket.AF_UNIX:
        # Small messages go out at once instead of waiting for the answer to the last.
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    limit_silence(peer.fileno(), timeout)
    return Connection(peer.detach())
