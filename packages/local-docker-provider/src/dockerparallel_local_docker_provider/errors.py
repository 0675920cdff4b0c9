"""The errors of the local-docker provider.

All of them are the core's ``ProviderError`` (a ``RuntimeError``), and each one also derives from
the built-in that a caller would catch::

    DockerParallelError
    └── ProviderError (RuntimeError), of the core
        └── EngineError                                  the engine refused what was asked of it
            ├── EngineUnreachableError (ConnectionError) no engine answers
            ├── EnginePermissionError (PermissionError)  this user may not talk to the engine
            ├── EngineTimeoutError (TimeoutError)        the engine did not answer in time
            ├── ImageUnavailableError (LookupError)      no such image, and none to be had
            ├── PortTakenError (OSError)                 the host's port is in use
            ├── NetworkPoolError                         the engine has no network left to give
            └── ForwardError (ConnectionError)           the server's port cannot be forwarded
"""

from __future__ import annotations

from dockerparallel import ProviderError


class EngineError(ProviderError):
    """The Docker engine could not do what was asked of it; the message holds its own words."""


class EngineUnreachableError(EngineError, ConnectionError):
    """No Docker engine answers at the address."""


class EnginePermissionError(EngineError, PermissionError):
    """The engine's socket is not for this user."""


class EngineTimeoutError(EngineError, TimeoutError):
    """The engine did not answer within ``engine_timeout``, or an image took too long."""


class ImageUnavailableError(EngineError, LookupError):
    """The engine has no such image, and it could be neither built nor pulled."""


class PortTakenError(EngineError, OSError):
    """The port of the host on which the server was to be published is in use."""


class NetworkPoolError(EngineError):
    """The engine has given away all of its address ranges for networks."""


class ForwardError(EngineError, ConnectionError):
    """The server's port on an ssh host could not be forwarded to this machine."""
