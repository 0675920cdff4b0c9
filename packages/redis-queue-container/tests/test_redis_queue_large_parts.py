"""Large arguments: sent once, put together as they were, gone when nobody needs them."""

from __future__ import annotations

import array
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from redis_queue_harness import Site, until

from dockerparallel_redis_queue_container import blob_cache
from dockerparallel_redis_queue_container.blob_cache import BlobCache
from dockerparallel_redis_queue_container.large_parts import LARGE, SeenBytes
from dockerparallel_redis_queue_container.module_loader import TaskLoader
from dockerparallel_redis_queue_container.serialization import TaskPickler

MEGABYTE = 1024 * 1024


class Holder:
    """Gives its data out of band, as arrays of numpy do."""

    def __init__(self, data: bytearray) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Holder, (pickle.PickleBuffer(self.data),)


def kind_and_change(data: Any) -> tuple[str, int, int]:
    """Say what came, and write into it where that can be done."""
    first = data[0]
    if not isinstance(data, bytes):
        data[0] = 99
    return type(data).__name__, first, len(data)


def held(holder: Holder) -> tuple[str, int, int]:
    return kind_and_change(holder.data)


def sent_by(site: Site) -> int:
    found: Any = site.connection.info("stats")
    return int(found["total_net_output_bytes"])


@pytest.mark.parametrize(
    ("function", "argument", "kind"),
    [
        (kind_and_change, bytes([5]) * MEGABYTE, "bytes"),
        (kind_and_change, bytearray([5]) * MEGABYTE, "bytearray"),
        (held, Holder(bytearray([5]) * MEGABYTE), "bytearray"),
    ],
    ids=["bytes", "bytearray", "out of band"],
)
def test_what_is_shared_crosses_once_for_each_worker_and_is_each_tasks_own(
    site: Site, function: Any, argument: Any, kind: str
) -> None:
    site.start_workers(2)
    client = site.client()
    before = sent_by(site)
    futures = [client.submit(function, argument) for _ in range(40)]
    assert {future.result(30) for future in futures} == {(kind, 5, MEGABYTE)}
    assert sent_by(site) - before < 3 * MEGABYTE
    until(
        lambda: not [name for name in site.stored() if name.startswith(("blob", "needs", "uses"))],
        "the parts to be removed",
    )


def test_an_argument_that_was_changed_is_sent_as_it_is(site: Site) -> None:
    site.start_workers(1)
    client = site.client()
    data = bytearray(MEGABYTE)
    futures = []
    for number in range(5):
        data[0] = number
        futures.append(client.submit(kind_and_change, data))
    assert [future.result(30)[1] for future in futures] == list(range(5))


def test_a_large_pickle_travels_apart_too(site: Site) -> None:
    site.start_workers(1)
    client = site.client()
    numbers = list(range(100_000))
    assert client.submit(sum, numbers).result(30) == sum(numbers)
    nested = {"deep": [Holder(bytearray(MEGABYTE)), numbers, array.array("d", [1.0] * MEGABYTE)]}
    assert client.submit(len, nested).result(30) == 1
    until(lambda: not [n for n in site.stored() if n.startswith("blob")], "it to be removed")


def test_keywords_and_equal_parts(site: Site) -> None:
    site.start_workers(1)
    client = site.client()
    data = os.urandom(MEGABYTE)
    assert client.submit(dict, a=data, b=bytes(data)).result(30) == {"a": data, "b": data}


def test_a_part_that_was_dropped_meanwhile_is_sent_again(site: Site) -> None:
    site.start_workers(1)
    client = site.client()
    data = os.urandom(MEGABYTE)
    for _ in range(3):
        assert client.submit(len, data).result(30) == MEGABYTE
        until(lambda: not [n for n in site.stored() if n.startswith("blob")], "it to be removed")
        # The worker has it, and does not ask.


def test_a_short_cut_of_the_network_loses_no_part(site: Site) -> None:
    site.start_workers(1)
    client = site.client()
    parts = [os.urandom(2 * MEGABYTE) for _ in range(10)]
    futures = []
    for part in parts:
        futures.append(client.submit(bytes.__getitem__, part, 0))
        site.connection.client_kill_filter(_type="normal", skipme=True)
    assert [future.result(30) for future in futures] == [part[0] for part in parts]


def test_small_parts_stay_where_they_are() -> None:
    packed = TaskPickler(lambda _digest, _bundle: None).pack(
        held, (Holder(bytearray(LARGE // 2)),), {}
    )
    assert packed.blobs == {}


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_cache, "MOST_BYTES", 25)
    asked: list[str] = []

    def get(name: str) -> bytes:
        asked.append(name)
        return bytes(10)

    cache = BlobCache(get)
    for name in ("f1", "f2", "f1", "f3", "f1", "f2"):
        cache.part(name)
    assert asked == ["f1", "f2", "f3", "f2"]
    changeable = cache.part("c1")
    changeable[0] = 1  # type: ignore[index]
    assert cache.part("c1") == bytes(10)


def test_bytes_are_known_by_the_object_as_long_as_it_is_kept() -> None:
    seen = SeenBytes()
    data = [bytes(MEGABYTE) for _ in range(100)]
    names = [seen.name(item) for item in data]
    assert len(set(names)) == 100
    assert [seen.name(item) for item in data[-64:]] == names[-64:]
    assert seen.name(data[0]) != names[0]
    assert seen.name(bytes(100 * MEGABYTE)) is None


def test_equal_arrays_and_very_long_bytes_are_known_by_their_content() -> None:
    pickler = TaskPickler(lambda _digest, _bundle: None)
    for make in (lambda: Holder(bytearray(MEGABYTE)), lambda: bytes(20 * MEGABYTE)):
        first, second = (pickler.pack(len, (make(),), {}).blobs for _ in range(2))
        assert first.keys() == second.keys()


def test_a_part_that_is_gone_is_named(tmp_path: Path) -> None:
    packed = TaskPickler(lambda _digest, _bundle: None).pack(len, (bytes(MEGABYTE),), {})
    loader = TaskLoader(lambda _digest: None, tmp_path)
    with pytest.raises(Exception, match="no longer has a part of this task"):
        loader.loads_call(packed.payload)
