"""The sizes of task that Fargate offers.

Source: Amazon ECS Developer Guide, "Task CPU and memory" of the Fargate task definition parameters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GIB = 1024
MEMORY_OF_CPU: dict[int, tuple[int, ...]] = {
    256: (512, 1 * GIB, 2 * GIB),
    512: tuple(range(1 * GIB, 4 * GIB + 1, GIB)),
    1024: tuple(range(2 * GIB, 8 * GIB + 1, GIB)),
    2048: tuple(range(4 * GIB, 16 * GIB + 1, GIB)),
    4096: tuple(range(8 * GIB, 30 * GIB + 1, GIB)),
    8192: tuple(range(16 * GIB, 60 * GIB + 1, 4 * GIB)),
    16384: tuple(range(32 * GIB, 120 * GIB + 1, 8 * GIB)),
}
"""The memory sizes in MiB for each number of CPU units (1024 are one vCPU)."""


@dataclass(frozen=True)
class Size:
    """A valid size of a task.

    Parameters
    ----------
    cpu : int
        CPU units; 1024 are one vCPU.
    memory : int
        MiB.
    """

    cpu: int
    memory: int

    @property
    def vcpus(self) -> float:
        """The number of vCPUs."""
        return self.cpu / 1024


def size_of(cpu: str | None, memory: str | None) -> Size | None:
    """Return the size that two strings of the API mean, or None where Fargate has none such.

    The API takes ``"1024"`` or ``"1 vCPU"``, and ``"2048"`` or ``"2 GB"``.
    """
    units = _number(cpu, r"vcpu", 1024)
    mebibytes = _number(memory, r"gb", GIB)
    if units is None or mebibytes not in MEMORY_OF_CPU.get(units, ()):
        return None
    return Size(units, mebibytes)


def _number(text: str | None, unit: str, factor: int) -> int | None:
    found = re.fullmatch(rf"\s*(\d*\.?\d+)\s*({unit})?\s*", str(text), re.IGNORECASE)
    if found is None:
        return None
    number = float(found.group(1)) * (factor if found.group(2) else 1)
    return int(number) if number == int(number) else None
