"""What the engine lists, and what is said of a container that has ended; labels."""

from __future__ import annotations

import getpass
import time
from typing import Any

import pytest

from dockerparallel import Status
from dockerparallel_local_docker_provider import labels
from dockerparallel_local_docker_provider.records import ContainerRecord, Ending


def listing(**changes: Any) -> dict[str, Any]:
    """Return an item as the engine (API 1.41) lists it."""
    return {
        "Id": "4f66",
        "Names": ["/dockerparallel-x-worker-1"],
        "State": "running",
        "Created": int(time.time()),
        "Labels": {
            labels.CLUSTER: "x",
            labels.CLUSTER_ID: "c0ffee",
            labels.ROLE: "worker",
            labels.HANDLE: "worker-1",
            labels.WORKERS: "3",
        },
        "NetworkSettings": {
            "Networks": {"dockerparallel-x": {"IPAddress": "172.18.0.2"}, "late": {"IPAddress": ""}}
        },
        "Ports": [
            {"IP": "127.0.0.1", "PrivatePort": 8888, "PublicPort": 32768, "Type": "tcp"},
            {"PrivatePort": 6379, "Type": "tcp"},
        ],
        **changes,
    }


def test_a_listing_is_read() -> None:
    record = ContainerRecord.from_listing(listing())
    assert (record.id, record.name) == ("4f66", "dockerparallel-x-worker-1")
    assert (record.cluster, record.cluster_id, record.role) == ("x", "c0ffee", "worker")
    assert (record.handle, record.workers) == ("worker-1", 3)
    assert record.addresses == {"dockerparallel-x": "172.18.0.2"}
    assert record.ports == {8888: 32768}


def test_a_listing_without_most_things_is_read_too() -> None:
    nothing = listing(Names=None, Labels=None, NetworkSettings=None, Ports=None)
    record = ContainerRecord.from_listing(nothing)
    assert (record.name, record.handle, record.cluster, record.workers) == ("", "", "", 0)
    assert (record.addresses, record.ports) == ({}, {})


@pytest.mark.parametrize("text", ["", "many", "-1"])
def test_a_number_of_workers_that_is_none_counts_as_none(text: str) -> None:
    record = ContainerRecord.from_listing(listing(Labels={labels.WORKERS: text}))
    assert record.workers == 0


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("created", Status.INITIALIZING),
        ("running", Status.RUNNING),
        ("paused", Status.RUNNING),
        ("restarting", Status.RUNNING),
        ("removing", Status.STOPPED),
        ("exited", Status.STOPPED),
        ("dead", Status.STOPPED),
    ],
)
def test_each_state_of_the_engine_has_a_status(state: str, expected: Status) -> None:
    record = ContainerRecord.from_listing(listing(State=state))
    assert record.status is expected
    assert record.lives is (expected is not Status.STOPPED)


def test_a_container_that_was_never_started_is_given_up() -> None:
    long_ago = int(time.time()) - 3600
    record = ContainerRecord.from_listing(listing(State="created", Created=long_ago))
    assert record.status is Status.STOPPED
    assert not record.lives


def test_a_store_never_lives() -> None:
    record = ContainerRecord.from_listing(listing(State="created", Labels={labels.ROLE: "store"}))
    assert record.status is Status.INITIALIZING
    assert not record.lives


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending(3, False, "", 64), "ended with exit code 3"),
        (Ending(137, True, "", 64), "ended with exit code 137 after it went over its memory limit"),
        (Ending(127, False, "no such file", 64), "could not run (no such file)"),
    ],
)
def test_an_ending_in_words(ending: Ending, words: str) -> None:
    assert str(ending).startswith(words)


def test_labels_name_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    common = labels.common("x", "c0ffee")
    assert set(common) == {labels.CLUSTER, labels.CLUSTER_ID, labels.OWNER, labels.VERSION}
    assert common[labels.OWNER].startswith(f"{getpass.getuser()}@")

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert labels.owner().startswith("unknown@")
