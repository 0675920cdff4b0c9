"""The sizes that a Fargate task can have, and which of them holds what is asked for.

The table is that of the AWS documentation, "Task CPU and memory" (also in "Troubleshoot Amazon
ECS task definition invalid CPU or memory errors"), for Linux tasks of platform version 1.4.0.
"""

from __future__ import annotations

from typing import NamedTuple

from dockerparallel import DockerHardware, InvalidValueError
from dockerparallel.validation import check_int
from dockerparallel_ecs_fargate_provider.prices import (
    MIB_PER_GB,
    PUBLISHED,
    UNITS_PER_VCPU,
    X86_64,
    Rates,
)


class FargateSize(NamedTuple):
    """One size of a task; ordered by CPU, then by memory.

    Parameters
    ----------
    cpu
        CPU units: 1024 are one vCPU.
    memory
        Memory in MiB.
    """

    cpu: int
    memory: int

    @property
    def vcpus(self) -> float:
        """The processors of the task, of which 1024 CPU units are one."""
        return self.cpu / UNITS_PER_VCPU

    @property
    def gigabytes(self) -> float:
        """The memory in GB as Fargate counts and bills them, 1024 MiB each."""
        return self.memory / MIB_PER_GB

    def __str__(self) -> str:
        return amount(self.cpu, self.memory)


def amount(cpu: int, memory: int) -> str:
    """Return CPU units and MiB as a person reads them: ``"4 vCPU, 8 GB"``."""
    whole = memory % MIB_PER_GB == 0
    shown = f"{memory // MIB_PER_GB} GB" if whole else f"{memory} MiB"
    return f"{cpu / UNITS_PER_VCPU:g} vCPU, {shown}"


def _gigabytes(cpu: int, first: int, last: int, step: int = 1) -> list[FargateSize]:
    return [FargateSize(cpu, gb * MIB_PER_GB) for gb in range(first, last + 1, step)]


SIZES: tuple[FargateSize, ...] = (
    FargateSize(256, 512),
    *_gigabytes(256, 1, 2),
    *_gigabytes(512, 1, 4),
    *_gigabytes(1024, 2, 8),
    *_gigabytes(2048, 4, 16),
    *_gigabytes(4096, 8, 30),
    *_gigabytes(8192, 16, 60, 4),
    *_gigabytes(16384, 32, 120, 8),
)
"""Every size that Fargate has, in ascending order."""

LARGEST = SIZES[-1]
"""The size with the most of both, which holds whatever any size holds."""


def smallest_size(cpu: int, memory: int, rates: Rates = PUBLISHED[X86_64]) -> FargateSize:
    """Return the cheapest size that holds ``cpu`` and ``memory``.

    A pure function. Of equally cheap sizes the one with the least CPU is taken, then the one
    with the least memory.

    Parameters
    ----------
    cpu
        CPU units that the task needs: 1024 are one vCPU. At least 1.
    memory
        MiB that the task needs. At least 1.
    rates
        By which sizes are compared. Default: those of x86 processors in us-east-1.

    Raises
    ------
    InvalidTypeError
        ``cpu`` or ``memory`` is no ``int``.
    InvalidValueError
        ``cpu`` or ``memory`` is below 1, or more than the largest size has.
    """
    check_int("cpu", cpu, minimum=1, hint="1024 units are one vCPU")
    check_int("memory", memory, minimum=1, hint="the unit is MiB")
    fitting = [size for size in SIZES if size.cpu >= cpu and size.memory >= memory]
    if not fitting:
        raise InvalidValueError(
            f"No Fargate task holds {amount(cpu, memory)}: the largest has "
            f"{LARGEST.cpu} CPU units ({LARGEST.vcpus:g} vCPU) and {LARGEST.memory} MiB "
            f"({LARGEST.gigabytes:g} GiB). Ask for less, or spread it over more tasks."
        )
    return min(fitting, key=lambda size: (rates.exact(*size), size))


def check_hardware(what: str, hardware: DockerHardware) -> None:
    """Refuse hardware that no Fargate task has.

    Pure; called before anything is asked of AWS. ``hardware.id`` is not looked at.

    Parameters
    ----------
    what
        ``"worker"`` or ``"server"``: the message names the arguments ``<what>_cpu=`` and
        ``<what>_memory=`` of the cluster.
    hardware
        What ONE worker, or the server, shall have.

    Raises
    ------
    InvalidValueError
        It has more CPU or memory than the largest size.
    """
    if hardware.cpu > LARGEST.cpu:
        raise InvalidValueError(
            f"{what}_cpu={hardware.cpu} asks for {hardware.cpu / UNITS_PER_VCPU:g} vCPU, and a "
            f"Fargate task has at most {LARGEST.vcpus:g}: ask for at most {what}_cpu={LARGEST.cpu}."
        )
    if hardware.memory > LARGEST.memory:
        raise InvalidValueError(
            f"{what}_memory={hardware.memory} asks for {hardware.memory / MIB_PER_GB:g} GiB, and a "
            f"Fargate task has at most {LARGEST.gigabytes:g}: ask for at most "
            f"{what}_memory={LARGEST.memory}."
        )
