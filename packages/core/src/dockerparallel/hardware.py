"""The hardware that one worker or server asks for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dockerparallel.validation import check_int, check_optional_str


@dataclass(frozen=True, slots=True)
class DockerHardware:
    """Hardware of one server or of ONE worker, however many share a container.

    Parameters
    ----------
    cpu
        CPU in units of 1/1024 core: 1024 is one core. At least 1.
    memory
        Memory in MiB. At least 1.
    id
        Name of a hardware type that only the provider understands, or ``None``.

    Raises
    ------
    InvalidTypeError
        ``cpu`` or ``memory`` is not an ``int``, or ``id`` is not a ``str`` or ``None``.
    InvalidValueError
        ``cpu`` or ``memory`` is below 1.
    """

    cpu: int = 1024
    memory: int = 2048
    id: str | None = None

    def __post_init__(self) -> None:
        check_int("cpu", self.cpu, minimum=1, hint="1024 units are one core")
        check_int("memory", self.memory, minimum=1, hint="the unit is MiB")
        check_optional_str("id", self.id)

    def static_data(self) -> dict[str, Any]:
        """Return the hardware as JSON types, for :meth:`from_static_data`."""
        return asdict(self)

    @classmethod
    def from_static_data(cls, data: dict[str, Any]) -> DockerHardware:
        """Build the hardware again from :meth:`static_data`; unknown keys are ignored."""
        return cls(**{key: data[key] for key in ("cpu", "memory", "id") if key in data})
