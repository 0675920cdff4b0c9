"""What the worker container exports to its users about packages that workers install."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dockerparallel import exported
from dockerparallel.context import current_cluster
from dockerparallel.errors import NoCurrentClusterError
from dockerparallel_redis_queue_container.requirements import (
    check_pip_packages,
    check_system_packages,
)


class PackageFunctions:
    """A part of :class:`RedisQueueWorkerContainer`, which has the lists as fields."""

    pip_packages: list[str]
    system_packages: list[str]

    @exported
    def add_pip_packages(self, *packages: str | Iterable[str]) -> None:
        """Add Python packages that workers started from now on install before they take work.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            A package is no string, empty, or looks like an option of pip.
        """
        self.set_pip_packages(self.pip_packages, *packages)

    @exported
    def set_pip_packages(self, *packages: str | Iterable[str]) -> None:
        """Replace the list of Python packages; see :meth:`add_pip_packages`."""
        self.pip_packages = list(check_pip_packages(_flat(packages)))
        _note_running_workers()

    @exported
    def get_pip_packages(self) -> list[str]:
        """Return the Python packages that new workers install."""
        return list(self.pip_packages)

    @exported
    def add_system_packages(self, *packages: str | Iterable[str]) -> None:
        """Add packages of the image's system that workers started from now on install first.

        Raises
        ------
        InvalidTypeError, InvalidValueError
            A package is no string, or no name of a package.
        """
        self.set_system_packages(self.system_packages, *packages)

    @exported
    def set_system_packages(self, *packages: str | Iterable[str]) -> None:
        """Replace the list of system packages; see :meth:`add_system_packages`."""
        self.system_packages = list(check_system_packages(_flat(packages)))
        _note_running_workers()

    @exported
    def get_system_packages(self) -> list[str]:
        """Return the system packages that new workers install."""
        return list(self.system_packages)


def _flat(packages: Iterable[Any]) -> list[Any]:
    flat: list[Any] = []
    for item in packages:
        if isinstance(item, str) or not isinstance(item, Iterable):
            flat.append(item)
        else:
            flat.extend(item)
    return flat


def _note_running_workers() -> None:
    try:
        cluster = current_cluster()
    except NoCurrentClusterError:
        # The container belongs to no cluster yet, so no worker of it runs.
        return
    runtime = cluster.runtime
    if runtime.running_worker_number + runtime.initializing_worker_number > 0:
        cluster.logger.warning(
            "Packages are installed on workers that start from now on. For those that run: "
            "cluster.set_worker_number(0), then the number that you want."
        )
