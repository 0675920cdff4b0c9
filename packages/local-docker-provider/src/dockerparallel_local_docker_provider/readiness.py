"""Whether the server answers on its port, which is not the same as whether the port is open."""

from __future__ import annotations

import socket
import sys

# On a bridge of this machine, an address answers or refuses at once.
_DIRECT_SECONDS = 0.2
_CONNECT_SECONDS = 1.0
_HOLD_SECONDS = 0.2


def listens(private: tuple[str, int] | None, public: tuple[str, int]) -> bool:
    """Tell whether the server accepts connections. Waits a second at the most.

    Parameters
    ----------
    private
        Its address on the engine's bridge, where the engine is on this machine: it is asked
        first, as a connection there is one to the server itself.
    public
        Where it is published. There the engine accepts in its name, also while nobody listens
        yet, and hangs up when it notices; so the connection must stay open for a moment.
    """
    if private is not None and sys.platform == "linux":
        try:
            with socket.create_connection(private, timeout=_DIRECT_SECONDS):
                return True
        except ConnectionRefusedError:
            return False
        except OSError:
            # No way to the bridge from here, as where the engine runs in a virtual machine.
            pass
    return _keeps_a_connection(public)


def _keeps_a_connection(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=_CONNECT_SECONDS) as connection:
            connection.settimeout(_HOLD_SECONDS)
            try:
                return connection.recv(1) != b""
            except TimeoutError:
                return True
    except OSError:
        # Nobody listens yet: that is the answer, whatever the system calls it.
        return False
