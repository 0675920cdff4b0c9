"""The build context of the image, and whether an image is ours to build.

Used by ``python -m dockerparallel_redis_queue_container build-image`` and, through the hook of the
containers, by a provider whose engine lacks the image. Both so get the same image.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Self

from dockerparallel_redis_queue_container._version import __version__
from dockerparallel_redis_queue_container.errors import ImageBuildError
from dockerparallel_redis_queue_container.own_wheels import (
    installed,
    pins,
    plain_name,
    write_wheel,
)

BASE_IMAGE = "DOCKERPARALLEL_BASE_IMAGE"
"""Environment variable of the client: the image to build on, instead of the official one."""

WHEELHOUSE = "DOCKERPARALLEL_WHEELHOUSE"
"""Environment variable of the client: the folder of wheels to install from, without any index."""

REPOSITORY = "dockerparallel/redis-queue"
"""The repository whose images are ours to build."""

CLIENT_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

DEFAULT_IMAGE = f"{REPOSITORY}:{__version__}-py{CLIENT_PYTHON}"
"""Image of both containers: this version, with the minor version of the client's Python."""

BUILD_LABEL = "dockerparallel.build"
"""Label, with the value of the build argument ``BUILD_ID``, of what a build leaves untagged."""

_OWN = ("dockerparallel", "dockerparallel-redis-queue-container")
_FILES = ("Dockerfile", "healthcheck.py")
_RELEASE_TAG = re.compile(r"\d[^-]*-py\d+\.\d+")
_WHEEL_SECONDS = 600.0


def is_ours(image: str) -> bool:
    """Tell whether an image is built from this package: any tag but that of another release.

    Parameters
    ----------
    image
        Name of an image, such as ``"dockerparallel/redis-queue:mine"``. One with a digest, or a
        tag that names another version of this package or of Python, must be pulled.
    """
    repository, _, tag = image.partition(":")
    if repository != REPOSITORY or "@" in image:
        return False
    return image == DEFAULT_IMAGE or not _RELEASE_TAG.fullmatch(tag)


@dataclass(frozen=True)
class ImageBuild:
    """What an image is to be made of.

    Parameters
    ----------
    base
        The image to build on; the official one of ``python`` by default.
    wheels
        Folder from which everything is installed, without any index. The wheels of this package
        and of the core are added where the folder has none of the installed version.
    packages
        What the image is to have beyond that, as pip takes it, such as ``"numpy>=2"``.
    python
        The minor version of Python of the base, such as ``"3.11"``; by default the client's, since
        client and workers must have the same.
    """

    base: str = ""
    wheels: Path | None = None
    packages: Sequence[str] = ()
    python: str = CLIENT_PYTHON
    build_id: str = field(default_factory=lambda: secrets.token_hex(8), init=False)

    @classmethod
    def from_environment(cls) -> Self:
        """Return the build that the variables `BASE_IMAGE` and `WHEELHOUSE` ask for."""
        wheels = os.environ.get(WHEELHOUSE)
        return cls(base=os.environ.get(BASE_IMAGE, ""), wheels=Path(wheels) if wheels else None)

    def arguments(self) -> dict[str, str]:
        """Return the build arguments."""
        return {"BASE_IMAGE": self.base or official_base(self.python), "BUILD_ID": self.build_id}

    def write(self, folder: Path) -> dict[str, str]:
        """Write the build context and return the build arguments.

        Takes seconds, and some more where this package is installed in editable mode. Without a
        folder of wheels the versions installed here are asked of the index during the build.

        Parameters
        ----------
        folder
            An empty folder.

        Raises
        ------
        ImageBuildError
            The folder of wheels is none, or the wheel of an own distribution cannot be made.
        """
        for name in _FILES:
            text = resources.files(__package__).joinpath("image", name).read_text("utf-8")
            if name == "Dockerfile":
                text = self._with_defaults(text)
            (folder / name).write_text(text, encoding="utf-8")
        wheels = folder / "wheels"
        wheels.mkdir()
        options = ["--find-links ./wheels"]
        if self.wheels is None:
            options.append("--constraint constraints.txt")
            lines = [f"{pin}\n" for pin in pins(_OWN)]
            (folder / "constraints.txt").write_text("".join(lines), encoding="utf-8")
        else:
            options.append("--no-index")
            self._copy_wheels(self.wheels, wheels)
        # By their paths, or an index could offer something else of that name and version.
        own = [f"./wheels/{_own_wheel(name, wheels).name}" for name in _OWN]
        for suffix, extra in (("", ""), ("-embedded", "[embedded]")):
            text = "\n".join([*options, *own[:-1], own[-1] + extra, *self.packages, ""])
            (folder / f"requirements{suffix}.txt").write_text(text, encoding="utf-8")
        return self.arguments()

    def _with_defaults(self, dockerfile: str) -> str:
        """Let the Dockerfile give the same image where it is built without arguments."""
        for name, value in (
            ("BASE_IMAGE", official_base(self.python)),
            ("PYTHON_VERSION", self.python),
            ("VERSION", __version__),
        ):
            dockerfile = re.sub(f"(?m)^ARG {name}=.*$", f"ARG {name}={value}", dockerfile)
        return dockerfile

    @staticmethod
    def _copy_wheels(source: Path, target: Path) -> None:
        found = sorted(source.glob("*.whl")) if source.is_dir() else []
        if not found:
            raise ImageBuildError(
                f"There are no wheels in {source}: name a folder that holds those of all packages "
                f"(--wheels, or {WHEELHOUSE}), for example made by 'python -m pip wheel "
                f"--wheel-dir {source} PACKAGES'."
            )
        for wheel in found:
            shutil.copyfile(wheel, target / wheel.name)


def official_base(python: str) -> str:
    """Return the official image of a minor version of Python."""
    return f"python:{python}-slim"


def _own_wheel(name: str, wheels: Path) -> Path:
    """Return the wheel of the installed version; make it unless it is there."""
    found = sorted(wheels.glob(f"{plain_name(name)}-{installed(name).version}-*.whl"))
    return found[0] if found else write_wheel(name, wheels, _WHEEL_SECONDS)
