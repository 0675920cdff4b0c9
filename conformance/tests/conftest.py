"""The platform of the in-memory pair, one for all tests of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from memory_cloud import MemoryCloud


@pytest.fixture(scope="session")
def memory_cloud() -> Iterator[MemoryCloud]:
    """Run a memory cloud; its users have ``memory_cloud.address``."""
    with MemoryCloud() as cloud:
        yield cloud
