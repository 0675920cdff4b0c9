"""The public addresses of harnesses that run at the same time."""

from __future__ import annotations

import itertools
import os

import pytest

from dockerparallel_fargate_harness.forwarding import loopback_addresses


def test_harnesses_have_addresses_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    for process in range(4_194_000, 4_194_020):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        first = set(itertools.islice(loopback_addresses(), 1000))
        assert len(first) == 1000
        assert not first & seen
        seen |= first


def test_there_is_an_address_for_each_task_of_a_large_cluster() -> None:
    addresses = loopback_addresses()
    assert len(set(itertools.islice(addresses, 100_000))) == 100_000
