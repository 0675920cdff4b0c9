"""Keeps the bundles of source that a worker has received, each unpacked in a folder of its own."""

from __future__ import annotations

import errno
import io
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from dockerparallel_redis_queue_container.errors import CodeShippingError
from dockerparallel_redis_queue_container.source_bundle import MAX_BUNDLE_BYTES

# More than a client sends, which may add metadata, or read a file that has just grown.
_MAX_UNPACKED_BYTES = 2 * MAX_BUNDLE_BYTES

_DIGEST = re.compile(r"[0-9a-f]{64}")


class BundleStore:
    """Unpacks bundles below one folder, once each.

    Several worker processes may share the folder: a bundle is unpacked aside and moved into place
    in one step, so that none of them sees a part of it.

    Parameters
    ----------
    get_code
        Gives the zip archive of a digest, or ``None`` where the server does not have it.
    folder
        Made when it is first needed, readable by this user only. Who passes it removes it when the
        workers have ended.
    """

    def __init__(self, get_code: Callable[[str], bytes | None], folder: Path) -> None:
        self._get_code = get_code
        self._folder = folder

    def path(self, digest: str) -> Path:
        """Give the folder with the files of a bundle, and fetch them first where needed.

        Blocks as long as ``get_code`` does. Thread-safe.

        Parameters
        ----------
        digest
            Names the bundle: 64 hexadecimal digits.

        Returns
        -------
        pathlib.Path
            The folder that holds ``module.py`` or ``package/``.

        Raises
        ------
        CodeShippingError
            The server does not have the bundle, or it is damaged, too large, or has a file that
            would land outside its folder.
        OSError
            The folder cannot be written.
        """
        if not _DIGEST.fullmatch(digest):
            raise CodeShippingError(
                f"{digest!r} does not name a bundle of source: it is not a SHA-256 digest."
            )
        place = self._folder / digest
        if place.is_dir():
            return place
        archive = self._get_code(digest)
        if archive is None:
            raise CodeShippingError(
                f"The server no longer has the source {digest[:12]} that this task needs, perhaps "
                "because it was restarted. Register the backend again (cluster.register_backend()) "
                "and submit the task again."
            )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=self._folder))
        try:
            _unpack(archive, aside)
            aside.rename(place)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                raise
            # Another worker process has put the same bundle there meanwhile.
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return place


def _unpack(archive: bytes, folder: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            members = opened.infolist()
            if sum(member.file_size for member in members) > _MAX_UNPACKED_BYTES:
                raise CodeShippingError(
                    f"A bundle of source holds more than {_MAX_UNPACKED_BYTES} bytes; it was "
                    "refused."
                )
            for member in members:
                target = folder.joinpath(*_safe_parts(member))
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(opened.read(member))
                if (member.external_attr >> 16) & stat.S_IXUSR:
                    target.chmod(0o755)
    except zipfile.BadZipFile as error:
        raise CodeShippingError(f"A bundle of source is damaged: {error}.") from error


def _safe_parts(member: zipfile.ZipInfo) -> tuple[str, ...]:
    path = PurePosixPath(member.filename)
    linked = stat.S_ISLNK(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or not path.parts or linked or member.is_dir():
        raise CodeShippingError(
            f"A bundle of source was refused: its file {member.filename!r} would be written "
            "outside the folder of the bundle, or is no regular file."
        )
    return path.parts
