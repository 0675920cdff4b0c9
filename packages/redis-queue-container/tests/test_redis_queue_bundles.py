"""What goes into a bundle of source, what it costs, and how the client's side fails."""

from __future__ import annotations

import importlib
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from redis_queue_shipping_rig import write_files

from dockerparallel import DockerParallelError
from dockerparallel_redis_queue_container import code_shipping, source_bundle
from dockerparallel_redis_queue_container.errors import CodeShippingError
from dockerparallel_redis_queue_container.import_scan import roots_in_source
from dockerparallel_redis_queue_container.module_origins import Origin
from dockerparallel_redis_queue_container.serialization import (
    TaskPickler,
    decode_header,
    header_bytes,
)


class Uploads(dict[str, bytes]):
    """What a pickler has sent, and how often."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.pickler = TaskPickler(self.put)

    def put(self, digest: str, bundle: bytes) -> None:
        self.calls.append(digest)
        self[digest] = bundle

    def names(self, obj: object) -> dict[str, list[str]]:
        """Give the files in the bundles that an object is sent with."""
        header = decode_header(header_bytes(self.pickler.dumps(obj)))
        return {
            root: zipfile.ZipFile(BytesIO(self[digest])).namelist()
            for root, digest in header.modules.items()
        }


@pytest.fixture
def uploads() -> Uploads:
    return Uploads()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is None or Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


def test_caches_hidden_files_and_environments_are_left_out(project: Path, uploads: Uploads) -> None:
    write_files(
        project,
        {
            "bare/__init__.py": "",
            "bare/data/table.csv": "1,2",
            "bare/.env": "SECRET=1",
            "bare/.git/config": "",
            "bare/__pycache__/old.pyc": "",
            "bare/venv/pyvenv.cfg": "",
            "bare/venv/lib/big.py": "",
        },
    )
    (project / "bare" / "loop").symlink_to(project / "bare")
    (project / "bare" / "nowhere").symlink_to(project / "gone")
    (project / "elsewhere.py").write_text("")
    (project / "bare" / "linked.py").symlink_to(project / "elsewhere.py")
    bare = importlib.import_module("bare")
    assert uploads.names(bare) == {
        "bare": ["bare/__init__.py", "bare/data/table.csv", "bare/linked.py"]
    }


def test_the_same_files_have_the_same_digest_and_archive_anywhere(tmp_path: Path) -> None:
    seen = set()
    for folder in ("one", "two"):
        write_files(tmp_path / folder, {"same/__init__.py": "x = 1\n", "same/b.py": ""})
        origin = Origin("same", folders=(tmp_path / folder / "same",))
        snapshot = source_bundle.read_snapshot(origin)
        seen.add((snapshot.digest, snapshot.zipped()))
    assert len(seen) == 1


def test_a_bundle_is_sent_once_and_again_where_sending_failed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(project, {"often.py": "def work():\n    pass\n"})
    often = importlib.import_module("often")
    attempts: list[bytes] = []

    def put_code(digest: str, bundle: bytes) -> None:
        attempts.append(bundle)
        if len(attempts) == 1:
            raise ConnectionError("no route")

    pickler = TaskPickler(put_code)
    with pytest.raises(ConnectionError, match="no route"):
        pickler.dumps(often.work)
    pickler.dumps(often.work)
    pickler.dumps(often.work)
    assert len(attempts) == 2
    assert attempts[0] == attempts[1]


def digest_in(pickler: TaskPickler, function: Callable[[], object], *, in_a_row: bool) -> str:
    packed = pickler.pack(function, (), {}, in_a_row=in_a_row)
    return decode_header(header_bytes(packed.payload)).modules["rows"]


def test_files_are_looked_at_now_and_then_in_a_row_of_tasks(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(project, {"rows.py": "def work():\n    pass\n"})
    rows = importlib.import_module("rows")
    clock = SimpleNamespace(monotonic=lambda: 1000.0)
    monkeypatch.setattr(code_shipping, "time", clock)
    # Stamps of inodes cannot be set back.
    monkeypatch.setattr(source_bundle, "_settled_ns", lambda _: 0)
    pickler = TaskPickler(lambda _digest, _bundle: None)
    first = digest_in(pickler, rows.work, in_a_row=True)
    write_files(project, {"rows.py": "def work():\n    return 2\n"})
    assert digest_in(pickler, rows.work, in_a_row=True) == first
    second = digest_in(pickler, rows.work, in_a_row=False)
    assert second != first
    write_files(project, {"rows.py": "def work():\n    return 30\n"})
    clock.monotonic = lambda: 1001.1
    assert digest_in(pickler, rows.work, in_a_row=True) not in {first, second}


def test_an_edit_that_was_seen_counts_for_the_next_in_a_row(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(
        project,
        {"rows.py": "import other\ndef work():\n    pass\n", "other.py": "def work():\n    pass\n"},
    )
    rows, other = importlib.import_module("rows"), importlib.import_module("other")
    # Later stamps are never trusted, as those of a file that was edited just now.
    monkeypatch.setattr(source_bundle, "_settled_ns", lambda _: 0)
    pickler = TaskPickler(lambda _digest, _bundle: None)
    first = digest_in(pickler, rows.work, in_a_row=False)
    packed = pickler.pack(rows.work, (), {}, in_a_row=False)
    before = decode_header(header_bytes(packed.payload)).modules
    monkeypatch.setattr(source_bundle, "_settled_ns", lambda _: 2**63)
    write_files(project, {"other.py": "def work():\n    return 2\n"})
    pickler.pack(other.work, (), {}, in_a_row=False)
    packed = pickler.pack(rows.work, (), {}, in_a_row=True)
    after = decode_header(header_bytes(packed.payload)).modules
    assert after["rows"] == before["rows"] == first
    assert after["other"] != before["other"]


def test_a_file_that_has_just_been_edited_is_always_looked_at(project: Path) -> None:
    write_files(project, {"rows.py": "def work():\n    pass\n"})
    rows = importlib.import_module("rows")
    pickler = TaskPickler(lambda _digest, _bundle: None)
    seen = set()
    for number in range(3):
        write_files(project, {"rows.py": f"def work():\n    return {number}\n"})
        seen.add(digest_in(pickler, rows.work, in_a_row=True))
    assert len(seen) == 3


def test_threads_never_overtake_the_code_they_need(project: Path) -> None:
    write_files(project, {"busy.py": "import busy_too\ndef work():\n    pass\n", "busy_too.py": ""})
    busy = importlib.import_module("busy")
    sent: set[str] = set()
    in_time: list[bool] = []

    pickler = TaskPickler(lambda digest, _bundle: sent.add(digest))

    def submit() -> None:
        modules = decode_header(header_bytes(pickler.dumps(busy.work))).modules
        in_time.append(sent.issuperset(modules.values()) and len(modules) == 2)

    threads = [threading.Thread(target=submit) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert in_time == [True] * 20


def test_file_that_is_too_large(project: Path, uploads: Uploads) -> None:
    write_files(project, {"heavy/__init__.py": ""})
    with (project / "heavy" / "model.bin").open("wb") as file:
        file.truncate(source_bundle.MAX_FILE_BYTES + 1)
    heavy = importlib.import_module("heavy")
    with pytest.raises(
        CodeShippingError, match=r"model\.bin has 33554433 bytes.*Move what"
    ) as info:
        uploads.pickler.dumps(heavy)
    assert isinstance(info.value, DockerParallelError)
    assert isinstance(info.value, ValueError)
    (project / "heavy" / "model.bin").unlink()
    assert uploads.names(heavy) == {"heavy": ["heavy/__init__.py"]}


def test_package_with_too_many_files(
    project: Path, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_bundle, "MAX_FILES", 3)
    write_files(project, {"crowd/__init__.py": "", **{f"crowd/f{i}.txt": "" for i in range(3)}})
    with pytest.raises(CodeShippingError, match=r"'crowd' in .* more than .* 3 files"):
        uploads.pickler.dumps(importlib.import_module("crowd"))


def test_edit_that_leaves_no_other_time_stamp_is_seen(
    project: Path, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(project, {"quick.py": "N = 1\n"})
    quick = importlib.import_module("quick")
    edited = 1_800_000_000_123_456_789
    clock = SimpleNamespace(time_ns=lambda: edited + 1_000)
    monkeypatch.setattr(source_bundle, "time", clock)
    monkeypatch.setattr(source_bundle, "_stamp", lambda _: (edited, edited, 6, 1))
    uploads.pickler.dumps(quick)
    write_files(project, {"quick.py": "N = 2\n"})
    clock.time_ns = lambda: edited + 3_600_000_000_000
    uploads.pickler.dumps(quick)
    assert len(uploads) == 2
    # From now on the stamps can be trusted, and the file is not even opened.
    (project / "quick.py").write_text("N = 3\n")
    uploads.pickler.dumps(quick)
    assert len(uploads) == 2


def test_module_that_is_written_later_is_seen(project: Path, uploads: Uploads) -> None:
    def work() -> object:
        import dp_written_later  # type: ignore[import-not-found]

        return dp_written_later

    assert uploads.names(work) == {}
    write_files(project, {"dp_written_later.py": ""})
    importlib.invalidate_caches()
    assert uploads.names(work) == {"dp_written_later": ["dp_written_later.py"]}


def test_deleted_module_goes_by_value(project: Path, uploads: Uploads) -> None:
    write_files(project, {"fleeting.py": "def work():\n    return 1\n"})
    fleeting = importlib.import_module("fleeting")
    assert list(uploads.names(fleeting.work)) == ["fleeting"]
    (project / "fleeting.py").unlink()
    assert uploads.names(fleeting.work) == {}


def test_object_that_cannot_be_pickled_keeps_the_message_of_pickle(uploads: Uploads) -> None:
    with pytest.raises(TypeError, match="lock"):
        uploads.pickler.dumps(threading.Lock())


def test_imports_are_read_without_running_the_source() -> None:
    source = b"""
import a.b, c as d
from e.f import g
from . import h
from .i import j
def work():
    import k
    importlib.import_module("l.m"); __import__("n"); import_module(name)
    raise SystemExit
"""
    assert roots_in_source(source) == {"a", "c", "e", "k", "l", "n"}
    assert roots_in_source(b"print 'old'") == frozenset()
    assert roots_in_source(b"# -*- coding: latin-1 -*-\n'\xe4'\nimport o") == {"o"}
