"""Check that the wheel built from each sdist holds what the wheel beside it holds.

Run by ``nox -s wheels``: ``python compare_sdists.py FOLDER``, where the folder holds one wheel
and one sdist of every package. A file that is missing from an sdist shows here.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


def contents(wheel: Path) -> dict[str, bytes]:
    """Return what a wheel holds, by file name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def wheel_from(sdist: Path, folder: Path) -> Path:
    """Build a wheel from an sdist as pip does for a user, and return its path."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), sdist],
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def difference(sdist: Path) -> list[str]:
    """Return the names of the files that differ between the two wheels of one version."""
    direct_name = sdist.name.removesuffix(".tar.gz") + "-py3-none-any.whl"
    direct = contents(sdist.with_name(direct_name))
    with tempfile.TemporaryDirectory() as folder:
        rebuilt = contents(wheel_from(sdist, Path(folder)))
    return sorted(
        name for name in direct.keys() | rebuilt.keys() if direct.get(name) != rebuilt.get(name)
    )


def main(folder: Path) -> None:
    """Compare all sdists of `folder` with their wheels; end with an error where one differs."""
    sdists = sorted(folder.glob("*.tar.gz"))
    if not sdists:
        sys.exit(f"There is no sdist in {folder}: build first (nox -s build)")
    for sdist in sdists:
        names = difference(sdist)
        if names:
            sys.exit(f"The wheel from {sdist.name} differs from the direct one in: {names}")
        print(f"{sdist.name}: gives the same wheel")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
