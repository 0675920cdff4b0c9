"""The files of one top-level module, read so that they can be sent to the workers.

A snapshot holds the files, a digest of their names and contents, and what is needed to tell later,
by one ``stat`` for each file and folder, whether anything has changed.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dockerparallel_redis_queue_container.distribution_metadata import metadata_files
from dockerparallel_redis_queue_container.errors import CodeShippingError
from dockerparallel_redis_queue_container.import_scan import roots_in_source
from dockerparallel_redis_queue_container.module_origins import Origin

MAX_FILE_BYTES = 32 * 1024 * 1024
"""The largest single file of a package that is shipped."""

MAX_BUNDLE_BYTES = 64 * 1024 * 1024
"""The largest sum of the files of one top-level module that is shipped."""

MAX_FILES = 10_000
"""The most files of one top-level module that are shipped."""

_ADVICE = (
    "Move what is not code out of the package (workers can read data from a shared place, or get "
    "it as an argument), or install the package: here, not in editable mode, and on the workers by "
    'cluster.worker_container.add_pip_packages("...").'
)

# A file system's clock moves in steps: two edits within one step leave the same time behind.
_CLOCK_STEP_NS = 50_000_000
_COARSE_CLOCK_STEP_NS = 2_000_000_000
_NS_PER_SECOND = 1_000_000_000

_Stamp = tuple[int, int, int, int]

_imports_by_content: dict[bytes, frozenset[str]] = {}


@dataclass(frozen=True)
class Snapshot:
    """The files of one top-level module at one moment.

    Parameters
    ----------
    digest
        SHA-256, in hexadecimal, of the names and contents of the files: the same wherever and
        whenever the files are the same.
    files
        Name inside the bundle (``"package/part.py"``) to content.
    executable
        Those of the names whose file the owner may execute.
    imports
        The top-level modules that the Python files among them import.
    stamps
        Each file and folder with what ``stat`` said of it before it was read.
    settled
        Whether equal stamps prove equal contents. They do not where a file was read so soon after
        an edit that another edit may have left the same time behind.
    """

    digest: str
    files: dict[str, bytes]
    executable: frozenset[str]
    imports: frozenset[str]
    stamps: tuple[tuple[str, _Stamp], ...]
    settled: bool

    def is_current(self) -> bool:
        """Tell whether the files on disk are surely still those of this snapshot.

        Costs one ``stat`` for each file and folder. ``False`` may also mean that this cannot be
        told from the stamps; reading the files again decides.
        """
        if not self.settled:
            return False
        try:
            return all(_stamp(os.stat(path)) == stamp for path, stamp in self.stamps)  # noqa: PTH116  # three times as fast
        except FileNotFoundError:
            return False

    def zipped(self) -> bytes:
        """Pack the files into a zip archive; the same files give the same archive."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, content in sorted(self.files.items()):
                member = zipfile.ZipInfo(name)
                mode = 0o755 if name in self.executable else 0o644
                member.external_attr = (stat.S_IFREG | mode) << 16
                archive.writestr(member, content, zipfile.ZIP_DEFLATED)
        return buffer.getvalue()


def read_snapshot(origin: Origin) -> Snapshot:
    """Read the files of a top-level module.

    Left out are ``__pycache__``, what is hidden (its name starts with a dot, as the folders of
    version control and ``.env`` do), virtual environments, and what is no regular file. Symbolic
    links are followed. Of a namespace package all portions of the user are merged; the first wins.
    The metadata of a source checkout is added, as `metadata_files` finds it.

    Parameters
    ----------
    origin
        Where the module is.

    Returns
    -------
    Snapshot
        What was read.

    Raises
    ------
    CodeShippingError
        A file is larger than `MAX_FILE_BYTES`, all are larger than `MAX_BUNDLE_BYTES`, there are
        more than `MAX_FILES`, or a name cannot be written in UTF-8.
    OSError
        A file cannot be read, or disappeared meanwhile.
    """
    started_ns = time.time_ns()
    listing = _Listing(origin.root)
    if origin.file is not None:
        listing.add_file(origin.file.name, origin.file)
    for folder in origin.folders:
        listing.add_folder(origin.root, folder)
    files = {name: path.read_bytes() for name, path in listing.files.items()}
    files.update(metadata_files(origin))
    hasher = hashlib.sha256()
    imports: set[str] = set()
    for name, content in sorted(files.items()):
        content_digest = hashlib.sha256(content).digest()
        kind = b"x" if name in listing.executable else b"-"
        hasher.update(b"%b%d:%b%b" % (kind, len(name.encode()), name.encode(), content_digest))
        if name.endswith(".py"):
            imports |= _imports_of(content, content_digest)
    return Snapshot(
        digest=hasher.hexdigest(),
        files=files,
        executable=frozenset(listing.executable),
        imports=frozenset(imports - {origin.root}),
        stamps=tuple(listing.stamps.items()),
        settled=all(_settled_ns(stamp) <= started_ns for stamp in listing.stamps.values()),
    )


class _Listing:
    """Collects the files to ship, and refuses what is too much before anything is read."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.files: dict[str, Path] = {}
        self.executable: set[str] = set()
        self.stamps: dict[str, _Stamp] = {}
        self.total = 0
        self._seen: set[tuple[int, int]] = set()

    def add_folder(self, prefix: str, folder: Path) -> None:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in self._seen:
            return  # A symbolic link that leads back up.
        self._seen.add((status.st_dev, status.st_ino))
        self.stamps[str(folder)] = _stamp(status)
        for entry in _wanted_entries(folder):
            name = f"{prefix}/{entry.name}"
            path = folder / entry.name
            if not entry.is_dir():
                self.add_file(name, path)
            elif not (path / "pyvenv.cfg").exists():
                self.add_folder(name, path)

    def add_file(self, name: str, path: Path) -> None:
        status = path.stat()
        if name in self.files or not stat.S_ISREG(status.st_mode):
            return
        self.files[name] = path
        if status.st_mode & stat.S_IXUSR:
            self.executable.add(name)
        self.stamps[str(path)] = _stamp(status)
        self.total += status.st_size
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise CodeShippingError(
                f"The file name {name!r} in the package {self.root!r} is not valid UTF-8, so the "
                "package cannot be sent to the workers: rename the file."
            ) from error
        if status.st_size > MAX_FILE_BYTES:
            raise CodeShippingError(
                f"The module {self.root!r} cannot be sent to the workers: the file {path} has "
                f"{status.st_size} bytes, and at most {MAX_FILE_BYTES} are allowed. {_ADVICE}"
            )
        if self.total > MAX_BUNDLE_BYTES or len(self.files) > MAX_FILES:
            raise CodeShippingError(
                f"The module {self.root!r} in {path.parent} cannot be sent to the workers: it has "
                f"more than {MAX_BUNDLE_BYTES} bytes or more than {MAX_FILES} files. {_ADVICE}"
            )


def _wanted_entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            if entry.is_symlink() and not Path(entry.path).exists():
                continue  # A link to nothing, such as an editor's lock file.
            yield entry


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _settled_ns(stamp: _Stamp) -> int:
    """Give the wall-clock time from which an edit would leave another stamp behind."""
    changed = max(stamp[0] if stamp[0] <= time.time_ns() else 0, stamp[1])
    coarse = changed % _NS_PER_SECOND == 0
    return changed + (_COARSE_CLOCK_STEP_NS if coarse else _CLOCK_STEP_NS)


def _imports_of(content: bytes, content_digest: bytes) -> frozenset[str]:
    found = _imports_by_content.get(content_digest)
    if found is None:
        found = _imports_by_content[content_digest] = roots_in_source(content)
    return found
