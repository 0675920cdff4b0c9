"""What the fault tests of local-docker run in containers; sent to workers that have no pytest."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

GATE_SECONDS = 120.0


def square(number: int, gate: str = "") -> tuple[int, str]:
    """Return the square and who has computed it; with a gate, once that file is there.

    Until then a file beside it shows which process stands there.
    """
    deadline = time.monotonic() + GATE_SECONDS
    if gate and not Path(gate).exists():
        Path(f"{gate}-{os.getpid()}").touch()
    while gate and not Path(gate).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody has opened {gate}")
        time.sleep(0.01)
    return number * number, socket.gethostname()


def process() -> tuple[int, str]:
    """Return which process of which container runs this."""
    time.sleep(0.01)
    return os.getpid(), socket.gethostname()


def allocate(mebibytes: int) -> int:
    """Use so much memory."""
    return len(bytearray(os.urandom(1024) * 1024 * mebibytes))


def find(needle: str) -> list[str]:
    """Return the places of the container, open to a task, that show a text turned round."""
    wanted = needle[::-1].encode()
    places = [*Path("/proc").glob("[0-9]*/environ"), *Path("/proc").glob("[0-9]*/cmdline")]
    # The last one in a folder that only root may list.
    secrets = os.environ["DOCKERPARALLEL_SECRETS_DIR"]
    for folder in ("/run", "/tmp", "/home", "/etc", "/opt/dockerparallel", secrets):  # noqa: S108
        places += [path for path in Path(folder).rglob("*") if path.is_file()]
    found = [name for name, value in os.environ.items() if needle[::-1] in value]
    for place in places:
        try:
            content = place.read_bytes()
        except OSError:
            # Root's, or a process that has ended meanwhile.
            continue
        if wanted in content:
            found.append(str(place))
    return found


def secret_of(name: str) -> str | None:
    """Return a secret of the container, or that it is refused."""
    from dockerparallel.environment import read_secret

    try:
        return read_secret(name)
    except PermissionError:
        return "refused"


def user_ids() -> tuple[int, ...]:
    """Return the real, effective and saved user of a task."""
    return os.getresuid()


def use_package() -> tuple[int, int]:
    """Return what a package holds that workers install, and who runs the task."""
    import dp_indexed_package  # type: ignore[import-not-found]  # the client has none

    return dp_indexed_package.VALUE, os.getuid()


def missing_module() -> str:
    """Use a module that the client has, and the image has not."""
    import pytest

    return pytest.__version__
