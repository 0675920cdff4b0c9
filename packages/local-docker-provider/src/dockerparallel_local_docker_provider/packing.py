"""How many workers go into one container, and whether the engine has room for one at all."""

from __future__ import annotations

from dockerparallel import DockerHardware, InvalidValueError
from dockerparallel_local_docker_provider.records import EngineSize

UNITS_PER_CORE = 1024
"""``DockerHardware.cpu`` of one core."""

LEAST_MEMORY_MIB = 6
"""The least memory limit that an engine takes (Docker's documentation of ``--memory``)."""

_NANO = 1_000_000_000


def check_room(what: str, hardware: DockerHardware, size: EngineSize) -> None:
    """Refuse hardware that the engine cannot give to one container.

    Parameters
    ----------
    what
        ``"worker"`` or ``"server"``, for the message.
    hardware
        What it shall have.
    size
        What the engine has: it refuses a limit above its cores.

    Raises
    ------
    InvalidValueError
        It asks for more than the engine has, or for less memory than an engine takes.
    """
    if hardware.cpu > size.cores * UNITS_PER_CORE:
        raise InvalidValueError(
            f"{what}_cpu={hardware.cpu} asks for {hardware.cpu / UNITS_PER_CORE:g} cores, and the "
            f"Docker engine has {size.cores}: ask for at most {size.cores * UNITS_PER_CORE}."
        )
    if not LEAST_MEMORY_MIB <= hardware.memory <= size.memory_mib:
        raise InvalidValueError(
            f"{what}_memory={hardware.memory} asks for {hardware.memory} MiB: the Docker engine "
            f"has {size.memory_mib} MiB, and takes no limit below {LEAST_MEMORY_MIB}."
        )


def workers_per_container(hardware: DockerHardware, most: int, size: EngineSize) -> int:
    """Return how many workers may share one container.

    Never more than ``most``, than the engine has cores for, or than it has memory for.

    Parameters
    ----------
    hardware
        What ONE worker needs; see :func:`check_room`.
    most
        ``max_worker_num`` of the container.
    size
        What the engine has.
    """
    by_cores = size.cores * UNITS_PER_CORE // hardware.cpu
    by_memory = size.memory_mib // hardware.memory
    return max(1, min(most, by_cores, by_memory))


def shares(worker_number: int, per_container: int) -> list[int]:
    """Return the number of workers of each container, all full but the last."""
    full, rest = divmod(worker_number, per_container)
    return [per_container] * full + ([rest] if rest else [])


def nano_cpus(hardware: DockerHardware, workers: int = 1) -> int:
    """Return the share of the engine's cores for a container, in billionths of a core."""
    return hardware.cpu * workers * _NANO // UNITS_PER_CORE
