"""The pytest plugin: options that name installed extensions, and the table of promises.

Every run of pytest loads this module where the distribution is installed, so the suite itself is
imported only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from dockerparallel_conformance.table import PromiseTable, guarded_by

if TYPE_CHECKING:
    from dockerparallel_conformance.stages import Stages

INSTALLED_MODULE = "dockerparallel_conformance.test_installed_extensions"
"""The tests that ``pytest --pyargs dockerparallel_conformance`` finds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; they reach the fixtures of the conformance classes."""
    group = parser.getgroup("dockerparallel", "conformance of DockerParallel's extensions")
    group.addoption("--provider", metavar="NAME", help="installed provider to check")
    group.addoption("--container", metavar="NAME", help="installed container to check")
    group.addoption("--image", metavar="NAME", help="image of the container (its own)")
    group.addoption(
        "--host-address",
        metavar="ADDRESS",
        help="of this machine, where the provider's workers reach the suite's external server "
        "(what the provider's host_address() says, else loopback)",
    )
    group.addoption("--workers", metavar="N", type=int, default=2, help="workers of a cluster (2)")
    group.addoption(
        "--check-timeout",
        metavar="SECONDS",
        type=float,
        default=120.0,
        help="seconds that one check may take (120)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse names that are not installed, and impossible numbers, before anything runs."""
    if config.option.workers < 1:
        raise pytest.UsageError(f"--workers must be at least 1, not {config.option.workers}.")
    if config.option.check_timeout <= 0:
        raise pytest.UsageError(
            f"--check-timeout must be above 0, not {config.option.check_timeout:g}."
        )
    if config.option.provider is not None or config.option.container is not None:
        _refuse_unknown(config)
    config.pluginmanager.register(PromiseTable(), "dockerparallel-promises")


def _refuse_unknown(config: pytest.Config) -> None:
    from dockerparallel import ExtensionError  # noqa: PLC0415 - see the module docstring
    from dockerparallel.extensions import find_extension  # noqa: PLC0415 - as above

    try:
        if config.option.provider is not None:
            find_extension("provider", config.option.provider)
        if config.option.container is not None:
            find_extension("container", config.option.container)
    except ExtensionError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the checks of each class into the order of a cluster's life.

    Raises
    ------
    pytest.UsageError
        The installed extensions are to be checked, and an option does not name them.
    """
    installed = any(_module_name(item) == INSTALLED_MODULE for item in items)
    for kind in ("provider", "container"):
        if installed and config.getoption(kind) is None:
            raise pytest.UsageError(
                f"Which {kind} is to be checked? Give --{kind} NAME; "
                "python -m dockerparallel extensions lists what is installed."
            )
    places: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        if guarded_by(item) is not None:
            places.setdefault(item.parent, []).append(index)
    for indexes in places.values():
        checks = sorted((items[index] for index in indexes), key=_order)
        for index, item in zip(indexes, checks, strict=True):
            items[index] = item


@pytest.fixture(scope="class")
def conformance_stages() -> Iterator[list[Stages]]:
    """Keep the clusters that the checks of a class share, and end them after the last."""
    kept: list[Stages] = []
    yield kept
    for stages in kept:
        stages.close()


def _order(item: pytest.Item) -> tuple[int, int]:
    promise = guarded_by(item)
    assert promise is not None  # noqa: S101 - only checks are sorted
    return promise.order


def _module_name(item: pytest.Item) -> str:
    return getattr(getattr(item, "module", None), "__name__", "")
