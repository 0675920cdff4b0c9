"""A server that runs already, outside the cluster (``CloudPrivateServer`` of the specification)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dockerparallel.errors import InvalidValueError
from dockerparallel.status import ServerAddress
from dockerparallel.validation import (
    check_bool,
    check_optional_port,
    check_optional_str,
    check_secret,
)


@dataclass(frozen=True)
class ExternalServer:
    """Where an external server answers; the cluster never starts or stops it.

    Given by the user as ``DockerCluster(private_server=...)``. Its flags, and its password where
    there is one, replace those of ``cluster.config``; a port that is ``None`` is
    ``cluster.config.server_port``.

    Parameters
    ----------
    public_ip, public_port
        The address that works from anywhere.
    private_ip, private_port
        The address that works only in the server's own network.
    password
        The server's password; ``None`` where ``cluster.config.server_password`` is set to it.
    server_worker_same_lan, server_client_same_lan
        Whether the workers, or the client, use the private address.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        A value does not fit, no address is given, or a flag asks for a private address that is
        not given.
    """

    public_ip: str | None = None
    public_port: int | None = None
    private_ip: str | None = None
    private_port: int | None = None
    password: str | None = field(default=None, repr=False)
    server_worker_same_lan: bool = False
    server_client_same_lan: bool = False

    def __post_init__(self) -> None:
        check_optional_str("public_ip", self.public_ip)
        check_optional_str("private_ip", self.private_ip)
        check_optional_port("public_port", self.public_port)
        check_optional_port("private_port", self.private_port)
        if self.password is not None:
            check_secret("password", self.password)
        if self.public_ip is None and self.private_ip is None:
            raise InvalidValueError(
                "ExternalServer needs an address: give public_ip=, private_ip=, or both."
            )
        for flag in ("server_worker_same_lan", "server_client_same_lan"):
            check_bool(flag, getattr(self, flag))
            if getattr(self, flag) and self.private_ip is None:
                raise InvalidValueError(f"{flag}=True needs private_ip=, which is None.")

    @property
    def address(self) -> ServerAddress:
        """The address as a provider would give it."""
        return ServerAddress(self.public_ip, self.public_port, self.private_ip, self.private_port)

    def static_data(self) -> dict[str, Any]:
        """Return the server as JSON types, without the password, which ``config`` holds."""
        data: dict[str, Any] = self.address._asdict()
        data["server_worker_same_lan"] = self.server_worker_same_lan
        data["server_client_same_lan"] = self.server_client_same_lan
        return data
