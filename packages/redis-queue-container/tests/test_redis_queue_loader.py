"""The worker's side of shipping: versions, refusals, and several clients on one worker."""

from __future__ import annotations

import importlib
import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_queue_shipping_rig import Rig, run_client, write_files

from dockerparallel_redis_queue_container import serialization
from dockerparallel_redis_queue_container.errors import (
    CodeShippingError,
    PythonVersionError,
)
from dockerparallel_redis_queue_container.module_loader import TaskLoader

DIGEST = "ab" * 32


def with_header(blob: bytes, **changes: object) -> bytes:
    """Change what the header of a task says."""
    header = json.loads(serialization.header_bytes(blob)) | changes
    encoded = json.dumps(header).encode()
    return blob[: blob.index(b"{")] + encoded + struct.pack(">I", len(encoded)) + b"DPT1"


def plain_task() -> bytes:
    return serialization.TaskPickler(lambda *_: None).dumps((abs, (-1,)))


def archive(*names: str, mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name in names:
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            opened.writestr(member, "x = 1\n")
    return buffer.getvalue()


@pytest.fixture
def keep_imports() -> Iterator[None]:
    finders, modules, path = list(sys.meta_path), dict(sys.modules), list(sys.path)
    yield
    assert sys.path == path
    sys.meta_path[:] = finders
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.modules.update(modules)


pytestmark = pytest.mark.usefixtures("keep_imports")


def test_other_minor_version_is_refused_before_anything_is_unpickled(tmp_path: Path) -> None:
    loader = TaskLoader(lambda _: None, tmp_path)
    task = b"not a pickle{" + plain_task().partition(b"{")[2]
    with pytest.raises(PythonVersionError) as info:
        loader.loads(with_header(task, python=[3, 1]))
    ours = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    assert "Python 3.1." in str(info.value)
    assert ours in str(info.value)


@pytest.mark.parametrize("blob", [b"", b"abc", b"x" * 100])
def test_bytes_that_are_no_task(tmp_path: Path, blob: bytes) -> None:
    with pytest.raises(CodeShippingError, match="not in the form"):
        TaskLoader(lambda _: None, tmp_path).loads(blob)


@pytest.mark.parametrize("root", ["json", "cloudpickle", "dockerparallel", "a.b", "../x", ""])
def test_modules_that_cannot_be_replaced(tmp_path: Path, root: str) -> None:
    blob = with_header(plain_task(), modules={root: DIGEST})
    with pytest.raises(CodeShippingError, match="cannot replace"):
        TaskLoader(lambda _: archive("x.py"), tmp_path).loads(blob)


@pytest.mark.parametrize(
    "bundle",
    [
        archive("../evil.py"),
        archive("a/../../evil.py"),
        archive("/evil.py"),
        archive("link.py", mode=0o120777),
        archive("good.py", "folder/"),
    ],
)
def test_bundle_with_a_file_outside_is_refused_whole(tmp_path: Path, bundle: bytes) -> None:
    loader = TaskLoader(lambda _: bundle, tmp_path / "in")
    with pytest.raises(CodeShippingError, match="was refused"):
        loader.loads(with_header(plain_task(), modules={"mod": DIGEST}))
    assert not list((tmp_path / "in").iterdir())
    assert not (tmp_path / "evil.py").exists()


@pytest.mark.parametrize(
    ("digest", "bundle", "message"),
    [
        ("../../etc", archive("mod.py"), "not a SHA-256"),
        (DIGEST, None, "no longer has the source"),
        (DIGEST, b"no zip", "damaged"),
        (DIGEST, archive("mod.py")[:-30], "damaged"),
    ],
)
def test_bundle_that_cannot_be_had(
    tmp_path: Path, digest: str, bundle: bytes | None, message: str
) -> None:
    loader = TaskLoader(lambda _: bundle, tmp_path / "in")
    with pytest.raises(CodeShippingError, match=message):
        loader.loads(with_header(plain_task(), modules={"mod": digest}))
    # The next task is not harmed.
    assert loader.loads(plain_task()) == (abs, (-1,))


def test_shipped_module_wins_over_a_loaded_one_while_its_client_is_served(tmp_path: Path) -> None:
    write_files(tmp_path, {"installed.py": "WHO = 'worker'\n"})
    sys.path.insert(0, str(tmp_path))
    try:
        import installed  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(tmp_path))
    loader = TaskLoader(lambda _: archive("installed.py"), tmp_path / "in")
    loader.loads(with_header(plain_task(), modules={"installed": DIGEST}, client="first"))
    import installed as shipped

    assert shipped is not installed
    assert shipped.x == 1
    loader.loads(with_header(plain_task(), client="second"))
    assert sys.modules["installed"] is installed
    loader.loads(with_header(plain_task(), modules={"installed": DIGEST}, client="first"))
    assert sys.modules["installed"] is shipped


def test_shipped_portion_of_a_namespace_joins_the_installed_ones(tmp_path: Path) -> None:
    write_files(tmp_path / "site", {"dp_space/theirs.py": ""})
    loader = TaskLoader(lambda _: archive("dp_space/ours.py"), tmp_path / "in")
    loader.loads(with_header(plain_task(), modules={"dp_space": DIGEST}))
    sys.path.append(str(tmp_path / "site"))
    try:
        ours = importlib.import_module("dp_space.ours")
        theirs = importlib.import_module("dp_space.theirs")
    finally:
        sys.path.remove(str(tmp_path / "site"))
    assert Path(str(ours.__file__)).is_relative_to(tmp_path / "in")
    assert Path(str(theirs.__file__)).is_relative_to(tmp_path / "site")


def test_versions_of_two_clients_alternate_and_both_are_right(tmp_path: Path) -> None:
    blobs = {}
    for who in ("left", "right"):
        folder = tmp_path / who
        write_files(
            folder,
            {
                "shared.py": f"import count\ndef work():\n    return '{who}', count.next()\n",
                "count.py": "n = 0\ndef next():\n    global n\n    n += 1\n    return n\n",
            },
        )
        script = """\
import shared
from pathlib import Path
Path('blob').write_bytes(rig.pickler.dumps((shared.work, ())))"""
        run_client(folder, script)
        blobs[who] = (folder / "blob").read_bytes()
    with Rig(tmp_path / "rig") as rig:
        seen = [rig.run_blob(blobs[who]) for who in ("left", "right", "right", "left", "right")]
    # The state of each client's modules is its own, and outlives the other's turn.
    assert seen == [("left", 1), ("right", 1), ("right", 2), ("left", 2), ("right", 3)]


def test_two_workers_unpack_into_one_folder(tmp_path: Path) -> None:
    write_files(
        tmp_path / "client", {f"many/m{i}.py": "" for i in range(300)} | {"many/__init__.py": ""}
    )
    script = """\
import many
from pathlib import Path
Path('blob').write_bytes(rig.pickler.dumps((repr, (many,))))"""
    run_client(tmp_path / "client", script)
    program = """
import sys
from pathlib import Path
from dockerparallel_redis_queue_container.module_loader import TaskLoader
codes, blob, folder = map(Path, sys.argv[1:])
loader = TaskLoader(lambda digest: (codes / digest).read_bytes(), folder)
function, (module,) = loader.loads(blob.read_bytes())
assert len(list(Path(module.__file__).parent.glob("m*.py"))) == 300
"""
    arguments = [tmp_path / "rig" / "codes", tmp_path / "client" / "blob", tmp_path / "unpacked"]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    workers = [subprocess.Popen(command) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    assert len(list((tmp_path / "unpacked").iterdir())) == 1
