"""A client's and a worker's end of shipping, without the queue: used by tests and their scripts."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from dockerparallel_redis_queue_container import outcomes
from dockerparallel_redis_queue_container.serialization import TaskPickler

_LENGTH = struct.Struct(">I")

# The same steps as in a worker: load, run, and pickle the outcome, one task after the other.
_WORKER = """
import struct, sys
from pathlib import Path
from dockerparallel_redis_queue_container import outcomes
from dockerparallel_redis_queue_container.module_loader import TaskLoader

codes, folder = Path(sys.argv[1]), Path(sys.argv[2])

def get_code(digest):
    file = codes / digest
    return file.read_bytes() if file.exists() else None

loader = TaskLoader(get_code, folder)
source, sink = sys.stdin.buffer, sys.stdout.buffer
while head := source.read(4):
    try:
        function, args = loader.loads(source.read(struct.unpack(">I", head)[0]))
        outcome = outcomes.success(function(*args))
    except Exception as error:
        outcome = outcomes.failure(error)
    sink.write(struct.pack(">I", len(outcome)) + outcome)
    sink.flush()
"""


class Rig:
    """A worker process that shares nothing with the caller but a folder of uploaded bundles."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.codes = self.folder / "codes"
        self.codes.mkdir(parents=True, exist_ok=True)
        self.uploads: list[str] = []
        self.pickler = TaskPickler(self._put_code)
        nowhere = self.folder / "worker"
        nowhere.mkdir(exist_ok=True)
        environ = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        self.worker = subprocess.Popen(
            [sys.executable, "-P", "-c", _WORKER, str(self.codes), str(nowhere / "bundles")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=nowhere,
            env=environ,
        )

    def _put_code(self, digest: str, bundle: bytes) -> None:
        self.uploads.append(digest)
        (self.codes / digest).write_bytes(bundle)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function on the worker; returns its result or raises its exception."""
        return self.run_blob(self.pickler.dumps((function, args)))

    def run_blob(self, blob: bytes) -> Any:
        """Run a pickled pair of function and arguments on the worker."""
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        self.worker.stdin.write(_LENGTH.pack(len(blob)) + blob)
        self.worker.stdin.flush()
        head = self.worker.stdout.read(4)
        assert head, "the worker has ended"
        ok, value = outcomes.load(self.worker.stdout.read(_LENGTH.unpack(head)[0]))
        if ok:
            return value
        raise value

    def close(self) -> None:
        """End the worker."""
        for stream in (self.worker.stdin, self.worker.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        try:
            self.worker.wait(10)
        except subprocess.TimeoutExpired:
            self.worker.kill()
            self.worker.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write a small project: path to text."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run_client(
    folder: Path,
    script: str,
    *,
    arguments: tuple[str, ...] = ("main.py",),
    environ: dict[str, str] | None = None,
    python_path: tuple[Path, ...] = (),
) -> str:
    """Run a client's script in its own process and folder; returns what it printed.

    The script has a ``rig``; ``rig.run`` runs a function on a worker. Where ``arguments`` do not
    name ``main.py``, the script is one of the project's own files.
    """
    if script:
        (folder / "main.py").write_text(
            "import os\n"
            "from redis_queue_shipping_rig import Rig\n"
            'with Rig(os.environ["RIG_FOLDER"]) as rig:\n'
            + "".join(f"    {line}\n" for line in script.splitlines())
        )
    paths = [*python_path, Path(__file__).parent]
    finished = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "RIG_FOLDER": str(folder.parent / "rig"),
            **(environ or {}),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout
