"""The settings of a cluster (``CloudConfig`` of the specification)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from dockerparallel.errors import InvalidTypeError
from dockerparallel.hardware import DockerHardware
from dockerparallel.static_data import FORMAT, check_format
from dockerparallel.validation import (
    check_bool,
    check_int,
    check_job_queue_name,
    check_port,
    check_secret,
)


def _check_hardware(name: str, value: object) -> DockerHardware:
    if not isinstance(value, DockerHardware):
        raise InvalidTypeError(f"{name} must be a DockerHardware, not {value!r}.")
    return value


_CHECKS: dict[str, Callable[[object], object]] = {
    "job_queue_name": check_job_queue_name,
    "expected_worker_number": lambda value: check_int("worker number", value, minimum=0),
    "worker_hardware": lambda value: _check_hardware("worker_hardware", value),
    "server_hardware": lambda value: _check_hardware("server_hardware", value),
    "server_worker_same_lan": lambda value: check_bool("server_worker_same_lan", value),
    "server_client_same_lan": lambda value: check_bool("server_client_same_lan", value),
    "server_password": lambda value: check_secret("server_password", value),
    "server_port": lambda value: check_port("server_port", value),
}


def _strong_password() -> str:
    return secrets.token_urlsafe(32)


@dataclass
class CloudConfig:
    """Settings of a cluster, checked whenever one is set.

    Users and extensions read and set the attributes of ``cluster.config`` at any time; a change
    acts on what is started afterwards. The object belongs to one cluster.

    Parameters
    ----------
    job_queue_name
        The name of the cluster: letters, digits, ``_`` and ``-``, at most 63, the first a letter
        or digit. Two clusters are the same if their names are equal.
    expected_worker_number
        How many workers the user wants, at least 0.
    worker_hardware, server_hardware
        Hardware of each worker and of the server.
    server_worker_same_lan
        Whether workers reach the server by its private address.
    server_client_same_lan
        Whether the client reaches the server by its private address.
    server_password
        Any text but the empty one; random with 256 bits by default. No repr shows it.
    server_port
        TCP port of the server.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        A value, given or set, does not fit; the old value stays.
    AttributeError
        A name is set that is not a setting.
    """

    job_queue_name: str = "DockerParallelQueue"
    expected_worker_number: int = 1
    worker_hardware: DockerHardware = field(default_factory=DockerHardware)
    server_hardware: DockerHardware = field(default_factory=lambda: DockerHardware(cpu=256))
    server_worker_same_lan: bool = True
    server_client_same_lan: bool = False
    server_password: str = field(default_factory=_strong_password, repr=False)
    server_port: int = 8888

    def __setattr__(self, name: str, value: object) -> None:
        """Check the value and set it."""
        if name not in _CHECKS:
            raise AttributeError(
                f"config has no setting {name!r}. Settings: {', '.join(sorted(_CHECKS))}."
            )
        object.__setattr__(self, name, _CHECKS[name](value))

    def static_data(self) -> dict[str, Any]:
        """Return all settings as JSON types, the password included."""
        data: dict[str, Any] = {"format": FORMAT}
        for setting in fields(self):
            value = getattr(self, setting.name)
            data[setting.name] = value.static_data() if isinstance(value, DockerHardware) else value
        return data

    def set_static_data(self, data: Mapping[str, Any]) -> None:
        """Take over what :meth:`static_data` returned; unknown keys are ignored.

        Raises
        ------
        StaticDataError
            The data has a format that this version does not read.
        """
        check_format("the configuration", data)
        for setting in fields(self):
            if setting.name in data:
                value = data[setting.name]
                if setting.name.endswith("_hardware"):
                    value = DockerHardware.from_static_data(value)
                setattr(self, setting.name, value)
