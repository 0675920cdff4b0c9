"""Wheels of distributions as they are installed here, for an image that is to have the same.

No index needs to have them: a version that is being worked on, or one from a private place, is
packed from what is installed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from dockerparallel_redis_queue_container.errors import ImageBuildError

# What an installer has added. The wheel gets a list of its own contents anew.
_NOT_IN_A_WHEEL = frozenset(
    {"INSTALLER", "REQUESTED", "direct_url.json", "RECORD", "RECORD.jws", "RECORD.p7s"}
)
# The oldest time that a zip file can hold, so that the same files give the same wheel.
_TIME = (1980, 1, 1, 0, 0, 0)
_OF_AN_EXTRA = re.compile(r";.*\bextra\s*==")
_REQUIREMENT_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def installed(name: str) -> Distribution:
    """Return an installed distribution.

    Raises
    ------
    ImageBuildError
        It is not installed, so that the code that runs here has no version.
    """
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise ImageBuildError(
            f"The distribution {name} is not installed here, so an image cannot get the same: "
            f'install it, for example by "python -m pip install {name}".'
        ) from error


def plain_name(name: str) -> str:
    """Return the name of a distribution as files have it (PEP 427)."""
    return re.sub(r"[-_.]+", "_", name).lower()


def write_wheel(name: str, folder: Path, timeout: float) -> Path:
    """Write the wheel of an installed distribution; called when a build context is made.

    An editable install is built from its source folder by pip, any other is packed from the files
    that are installed.

    Parameters
    ----------
    name
        Name of the distribution.
    folder
        Where the wheel goes.
    timeout
        Seconds that pip may take.

    Returns
    -------
    Path
        The wheel.

    Raises
    ------
    ImageBuildError
        It is not installed, files of it are missing, or pip failed (the message holds the end of
        what pip said).
    """
    found = installed(name)
    source = _editable_source(found)
    return _pack(found, folder) if source is None else _build(found, source, folder, timeout)


def pins(names: tuple[str, ...]) -> list[str]:
    """Return ``name==version`` for all that is installed here and that distributions depend on.

    Called when a build context is made. The distributions themselves are left out, and so is
    what does not come from an index.

    Parameters
    ----------
    names
        The distributions. What belongs to an extra of theirs or to another platform is among the
        pins where it is installed; a pin installs nothing.
    """
    found: dict[str, str] = {}
    seen = {plain_name(name) for name in names}
    waiting = [installed(name) for name in names]
    own = list(waiting)
    while waiting:
        depending = waiting.pop()
        for requirement in depending.requires or ():
            if depending not in own and _OF_AN_EXTRA.search(requirement):
                continue
            match = _REQUIREMENT_NAME.match(requirement)
            if match is None or plain_name(match[1]) in seen:
                continue
            seen.add(plain_name(match[1]))
            try:
                needed = distribution(match[1])
            except PackageNotFoundError:
                continue
            if needed.read_text("direct_url.json") is None:
                found[plain_name(match[1])] = f"{needed.name}=={needed.version}"
            waiting.append(needed)
    return [found[name] for name in sorted(found)]


def _editable_source(found: Distribution) -> Path | None:
    """Return the source folder of an editable install (PEP 610)."""
    try:
        record = json.loads(found.read_text("direct_url.json") or "{}")
    except ValueError:
        return None  # Not as PEP 610 has it: then the installed files are what there is.
    if not record.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(record.get("url", "")).path))


def _build(found: Distribution, source: Path, folder: Path, timeout: float) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-input"]
    options = ["--disable-pip-version-check", "--progress-bar=off", f"--wheel-dir={folder}"]
    before = set(folder.glob("*.whl"))
    what = f"The wheel of {found.name}, which is installed in editable mode from {source},"
    try:
        done = subprocess.run(
            [*command, *options, str(source)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ImageBuildError(f"{what} was not built within {timeout:g} seconds.") from error
    made = set(folder.glob("*.whl")) - before
    if done.returncode != 0 or len(made) != 1:
        raise ImageBuildError(
            f"{what} could not be built by pip. Install pip here, and give it an index for the "
            f"build, or name a folder of wheels. It said:\n{done.stdout[-3000:]}"
        )
    return made.pop()


def _pack(found: Distribution, folder: Path) -> Path:
    tags = re.findall(r"(?m)^Tag: *(\S+)", found.read_text("WHEEL") or "")
    # Not `found.files`, which leaves out what is gone.
    listed = sorted(row[0] for row in csv.reader((found.read_text("RECORD") or "").splitlines()))
    metadata = [name for name in listed if name.endswith(".dist-info/METADATA")]
    if not tags or not metadata:
        raise ImageBuildError(
            f"{found.name} {found.version} was not installed from a wheel, so that nobody knows "
            "its files: install it anew by pip, or name a folder of wheels."
        )
    about = PurePosixPath(metadata[0]).parent
    wheel = folder / f"{plain_name(found.name)}-{found.version}-{tags[0]}.whl"
    lines = []
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in listed:
            path = PurePosixPath(name)
            # Programs, which the installer makes of the entry points, stand outside.
            outside = ".." in path.parts or path.is_absolute()
            added = path.parent == about and path.name in _NOT_IN_A_WHEEL
            if outside or added or "__pycache__" in path.parts:
                continue
            try:
                content = Path(str(found.locate_file(name))).read_bytes()
            except OSError as error:
                raise ImageBuildError(
                    f"{found.name} {found.version} is not whole here: {error}. Install it anew."
                ) from error
            _add(archive, name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            lines.append(f"{_quoted(name)},sha256={digest.decode()},{len(content)}")
        record = f"{about}/RECORD"
        _add(archive, record, "\n".join([*lines, f"{record},,", ""]).encode())
    return wheel


def _quoted(name: str) -> str:
    return f'"{name}"' if "," in name else name


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o100644 << 16
    archive.writestr(entry, content)
