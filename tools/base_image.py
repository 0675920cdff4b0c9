"""Make the base image of the Docker tests from packages of the distribution.

The tests assume no image registry. ``python -m tools.base_image`` makes the image where it is
missing or its recipe has changed; it then stays on the machine for later runs, and ``docker rmi``
removes it. The packages come from where this machine's apt takes its own. The tests call `ensure`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tools.docker_engine import engine_answers, os_release

PACKAGES = (
    "ca-certificates",
    # For the tests of an engine on another machine, reached by ssh.
    "openssh-server",
    "python3",
    "python3-venv",
    "redis-server",
    "tini",
)
RECIPE_LABEL = "dockerparallel.recipe"
SETTINGS = ("ENV LANG=C.UTF-8", 'CMD ["python3"]')
BUILD_SECONDS = 900.0
DOCKER_SECONDS = 300.0
STOP_SECONDS = 30.0
_INDEX = "$(ORIGIN) $(RELEASE) $(COMPONENT) $(REPO_URI)"


class BaseImageError(RuntimeError):
    """The base image could not be made; the message says why."""


def reason_to_skip() -> str | None:
    """Say why no base image can be made on this machine, or None where it can."""
    if shutil.which("debootstrap") is None:
        return "debootstrap is missing (nox -s docker_engine installs it on Debian, as root)"
    if os.geteuid() != 0:
        return "only root can run debootstrap"
    return None


def ensure() -> str:
    """Make the base image unless it is there, and return its name.

    May be called by several processes at a time: one makes it, the others wait.

    Raises
    ------
    BaseImageError
        It cannot be made, or not within `BUILD_SECONDS`.
    """
    about = os_release()
    suite = about.get("VERSION_CODENAME", "")
    image = f"dockerparallel-base:{about.get('ID', '')}{about.get('VERSION_ID', '')}"
    recipe = recipe_digest(suite)
    if recipe_of(image) == recipe:
        print(f"base_image: {image} is there", flush=True)
        return image
    reason = reason_to_skip()
    if reason is not None:
        raise BaseImageError(f"the image {image} cannot be made: {reason}")
    # A file that every user of this machine has in common, so that no lock file is left.
    with locked(Path(str(shutil.which("debootstrap"))), BUILD_SECONDS):
        if recipe_of(image) != recipe:
            build(image, suite, recipe)
    return image


def recipe_digest(suite: str) -> str:
    """Return a digest that changes when the image would."""
    return hashlib.sha256(repr((suite, PACKAGES, SETTINGS)).encode()).hexdigest()


def recipe_of(image: str) -> str | None:
    """Return the recipe that an image was made by; None where there is no such image."""
    form = f'{{{{index .Config.Labels "{RECIPE_LABEL}"}}}}'
    command = ["docker", "image", "inspect", "--format", form, image]
    asked = subprocess.run(
        command, capture_output=True, text=True, timeout=DOCKER_SECONDS, check=False
    )
    return asked.stdout.strip() if asked.returncode == 0 else None


def python_of(image: str) -> str:
    """Return the minor version of Python of an image, such as ``"3.11"``; runs a container."""
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    return run("docker", "run", "--rm", image, "python3", "-c", script).strip()


def build(image: str, suite: str, recipe: str) -> None:
    """Make the image and remove the one that had its name."""
    mirror, components = source_of(suite)
    # Where /tmp is mounted as memory, no system can be installed in it.
    folder = Path(tempfile.mkdtemp(prefix="dockerparallel-base-", dir="/var/tmp"))
    try:
        root, archive = folder / "root", folder / "root.tar"
        run(
            *("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
            *(f"--components={','.join(components)}", suite, str(root), mirror),
        )
        for unneeded in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / unneeded)
            (root / unneeded / "partial").mkdir(parents=True)
        run("tar", "--create", f"--file={archive}", f"--directory={root}", ".")
        settings = [f"--change={line}" for line in (*SETTINGS, f"LABEL {RECIPE_LABEL}={recipe}")]
        run("docker", "import", *settings, str(archive), image)
        run("docker", "image", "prune", "--force", f"--filter=label={RECIPE_LABEL}")
    finally:
        # Not into what may still be mounted there after a failure.
        run("rm", "--recursive", "--force", "--one-file-system", str(folder))


def source_of(suite: str) -> tuple[str, list[str]]:
    """Return from where apt takes the distribution's own packages: address and components.

    Raises
    ------
    BaseImageError
        Apt has no such source, or has not read it yet.
    """
    distribution = os_release().get("ID", "")
    targets = run("apt-get", "indextargets", f"--format={_INDEX}", "Created-By: Packages")
    found: dict[str, list[str]] = {}
    for line in targets.splitlines():
        # Others may offer packages for the same suite; their origin tells.
        origin, release, component, address = (f"{line}   ").split(" ", 3)
        if origin.lower() == distribution and release == suite:
            found.setdefault(address.strip(), []).append(component)
    if not found:
        raise BaseImageError(
            f"apt knows no source of the suite {suite!r} of {distribution!r}: run apt-get update"
        )
    address, components = next(iter(found.items()))
    return address, sorted(set(components))


def run(*command: str) -> str:
    """Run a command in a process group of its own and return what it wrote.

    Raises
    ------
    BaseImageError
        It failed, or did not end within `BUILD_SECONDS`; nothing of it lives then.
    """
    print("base_image:", *command, flush=True)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=BUILD_SECONDS)
    except BaseException as error:
        end_group(process)
        if isinstance(error, subprocess.TimeoutExpired):
            message = f"'{' '.join(command)}' did not end within {BUILD_SECONDS:g} seconds"
            raise BaseImageError(message) from error
        raise
    if process.returncode != 0:
        raise BaseImageError(f"'{' '.join(command)}' failed:\n{output[-3000:]}")
    return output


def end_group(process: subprocess.Popen[str]) -> None:
    """End a process and its children; debootstrap unmounts what it has mounted."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=STOP_SECONDS)
            return


@contextmanager
def locked(file: Path, seconds: float, kind: int = fcntl.LOCK_EX) -> Iterator[int]:
    """Hold a lock on an existing file for the block; gives its descriptor.

    Raises
    ------
    BaseImageError
        Another process held it for all of `seconds`.
    """
    descriptor = os.open(file, os.O_RDONLY)
    try:
        lock(descriptor, kind, seconds)
        yield descriptor
    finally:
        os.close(descriptor)


def lock(descriptor: int, kind: int, seconds: float) -> None:
    """Wait for a lock on an open file, or change the kind of the one that is held."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                message = f"another process has kept the lock on the image for {seconds:g} seconds"
                raise BaseImageError(message) from None
            time.sleep(0.1)
        else:
            return


def main() -> int:
    """Make the base image; return the exit code."""
    if not engine_answers():
        print("base_image: no Docker engine answers (nox -s docker_engine starts one)")
        return 1
    try:
        ensure()
    except BaseImageError as error:
        print(f"base_image: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
