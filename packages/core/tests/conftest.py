"""Fixtures of the core's tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core_fakes import MemoryContainer, MemoryProvider, Platform

from dockerparallel import DockerCluster


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def make_cluster(platform: Platform) -> Callable[..., DockerCluster]:
    """Make quiet clusters on the test's platform."""

    def make(**options: Any) -> DockerCluster:
        options.setdefault("provider", MemoryProvider(platform))
        options.setdefault("worker_container", MemoryContainer(image="worker-image"))
        return DockerCluster(**{"verbose": 0, **options})

    return make


@pytest.fixture
def cluster(make_cluster: Callable[..., DockerCluster]) -> DockerCluster:
    return make_cluster(worker_number=3)


@pytest.fixture(autouse=True)
def fresh_notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give each test its own notes of what containers were asked."""
    notes: list[str] = []
    monkeypatch.setattr(MemoryContainer, "calls", notes)
    monkeypatch.setattr(MemoryContainer, "fail", ())
    return notes
