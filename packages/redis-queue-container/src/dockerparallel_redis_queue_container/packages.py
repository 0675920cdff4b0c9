"""Installs the packages that the user asked for, before any worker takes work.

In a container, where the supervisor runs as root, system packages come by apt-get and pip packages
go into the environment of the image. Everywhere else pip packages go into a folder that belongs to
the cluster, and system packages are refused: a machine that is somebody's own is not changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dockerparallel.environment import read_secret
from dockerparallel_redis_queue_container import settings
from dockerparallel_redis_queue_container.errors import PackageInstallError
from dockerparallel_redis_queue_container.installer import run_installer
from dockerparallel_redis_queue_container.requirements import (
    check_pip_packages,
    check_system_packages,
    mask_credentials,
)

PACKAGES_DIR = "DOCKERPARALLEL_PACKAGES_DIR"
"""Environment variable with the folder for pip packages, set by a provider without images.

The provider removes the folder with the cluster.
"""

INDEX_SECRETS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
"""Variables of pip that are also looked for among the secrets of the container."""

_LOOK_SECONDS = 0.2
_ADVICE = (
    f"Set {settings.INSTALL_TIMEOUT} in the environment of the worker container to allow more."
)

_logger = logging.getLogger("dockerparallel.redis_queue.packages")


def install(
    pip_packages: Sequence[str],
    system_packages: Sequence[str] = (),
    *,
    pip_folder: Path | None = None,
    timeout: float = settings.QueueSettings.install_timeout,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Install packages; called by the supervisor once, before it starts workers.

    Does nothing where both lists are empty. Blocks. Idempotent: pip leaves alone what is there,
    and a folder that holds the same list already is used as it is, also by several supervisors at
    once, of which one installs and the others wait for it.

    With a folder, the packages become importable in this process and in those it starts, ahead of
    what is installed otherwise.

    Parameters
    ----------
    pip_packages
        Requirements as pip knows them. The ``PIP_`` variables of the environment reach pip, so
        that a user can name another index in ``container.environment``, or, with a password, in
        ``container.secrets`` (`INDEX_SECRETS`). The password of the queue does not.
    system_packages
        Debian packages.
    pip_folder
        Where pip packages go. By default the folder that `PACKAGES_DIR` names; where that is not
        set either, the environment of this Python, for which the process must run as root.
    timeout
        Seconds for everything together, waiting for another supervisor included.
    environ
        The environment for the installers; ``os.environ`` by default.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        A name is none of a package. Nothing was installed.
    PackageInstallError
        System packages were asked for where they are refused, there is nowhere to install to, an
        installer failed (the message holds the end of its output), or the time is over.
    """
    variables = os.environ if environ is None else environ
    pip_names = check_pip_packages(pip_packages)
    system_names = check_system_packages(system_packages)
    if not pip_names and not system_names:
        return
    folder = pip_folder
    if folder is None and variables.get(PACKAGES_DIR):
        folder = Path(variables[PACKAGES_DIR])
    in_image = folder is None and os.geteuid() == 0
    if system_names and not in_image:
        raise PackageInstallError(
            f"The system packages {', '.join(system_names)} cannot be installed here: this worker "
            "shares the machine's own system, or does not run as root. Install them on the machine "
            "yourself, or use a provider that runs images."
        )
    deadline = time.monotonic() + timeout
    passed = _installer_environment(variables)
    if system_names:
        _install_system(system_names, passed, deadline)
    if pip_names and folder is not None:
        _use_folder(_install_into(folder, pip_names, passed, deadline))
    elif pip_names and in_image:
        _run_pip(pip_names, passed, deadline)
        importlib.invalidate_caches()
    elif pip_names:
        raise PackageInstallError(
            f"There is nowhere to install {_listed(pip_names)} to: this worker does not run as "
            f"root. Set {PACKAGES_DIR} to a folder that it may write."
        )


def _installer_environment(variables: Mapping[str, str]) -> dict[str, str]:
    passed = {key: text for key, text in variables.items() if key != settings.PASSWORD}
    for name in INDEX_SECRETS:
        secret = read_secret(name, variables)
        if secret is not None:
            passed[name] = secret.strip()
    return passed


def _install_system(names: Sequence[str], passed: Mapping[str, str], deadline: float) -> None:
    apt = shutil.which("apt-get", path=passed.get("PATH"))
    what = f"apt-get could not install {', '.join(names)}"
    if apt is None:
        raise PackageInstallError(
            f"{what}: there is no apt-get in this image. Use an image made from Debian or Ubuntu, "
            "or install the packages when you build the image."
        )
    environ = {**passed, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "--", *names]):
        run_installer(
            [apt, "--quiet", *arguments],
            what=what,
            environ=environ,
            timeout=_left(deadline),
            advice=_ADVICE,
        )


def _run_pip(
    names: Sequence[str], passed: Mapping[str, str], deadline: float, target: Path | None = None
) -> None:
    options = [] if target is None else ["--target", str(target)]
    folder = None if target is None else target.parent
    defaults = {
        "NO_COLOR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    _logger.info("Installing %s.", _listed(names))
    # A file, since a command line is seen by everybody on the machine, and a URL can hold a token.
    with tempfile.NamedTemporaryFile("w", prefix=".requirements-", dir=folder) as file:
        file.write("\n".join(names))
        file.flush()
        run_installer(
            [sys.executable, "-m", "pip", "install", *options, "--requirement", file.name],
            what=f"pip could not install {_listed(names)} on this worker",
            environ={**defaults, **passed},
            timeout=_left(deadline),
            advice=_ADVICE,
        )


def _install_into(
    folder: Path, names: Sequence[str], passed: Mapping[str, str], deadline: float
) -> Path:
    """Install a list into a folder of its own below `folder`: complete, or not there at all."""
    python = list(sys.version_info[:2])
    key = hashlib.sha256(json.dumps([python, sorted(names)]).encode()).hexdigest()[:16]
    place = folder / key
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock(folder / ".lock", deadline):
        # What a supervisor that was killed has left.
        for left_over in folder.glob(".installing-*"):
            shutil.rmtree(left_over)
        for left_over in folder.glob(".requirements-*"):
            left_over.unlink()
        if not place.is_dir():
            aside = Path(tempfile.mkdtemp(prefix=".installing-", dir=folder))
            try:
                _run_pip(names, passed, deadline, target=aside)
                aside.rename(place)
            finally:
                if aside.exists():
                    shutil.rmtree(aside)
        else:
            _logger.info("%s: installed before, in %s.", _listed(names), place)
    return place


@contextlib.contextmanager
def _lock(file: Path, deadline: float) -> Iterator[None]:
    """Hold a lock that the system releases when this process ends, however it ends."""
    with file.open("ab") as opened:
        while True:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise PackageInstallError(
                        f"Another supervisor still installs packages (it holds {file}), and the "
                        f"time to wait for it is over. {_ADVICE}"
                    ) from None
                time.sleep(_LOOK_SECONDS)
        yield


def _use_folder(place: Path) -> None:
    path = str(place)
    if path not in sys.path:
        sys.path.insert(0, path)
    inherited = os.environ.get("PYTHONPATH", "")
    if path not in inherited.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [path, inherited]))
    importlib.invalidate_caches()


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.0)


def _listed(names: Sequence[str]) -> str:
    return mask_credentials(", ".join(names))
