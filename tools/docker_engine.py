"""Give this machine what the Docker tests need, where that can be done without asking.

That is an engine, and debootstrap, of which ``base_image.py`` makes the tests' base image. Run by
``nox -s docker_engine``; the only part of the workspace that installs anything on the system. Uses
the standard library alone, since it runs before anything is installed. ``engine_answers`` also
serves the tests, which skip without an engine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

REQUIRE_VARIABLE = "DOCKERPARALLEL_REQUIRE_DOCKER"
LOG_FILE = Path("/var/log/dockerparallel-dockerd.log")
ASK_SECONDS = 20.0
START_SECONDS = 90.0
APT_SECONDS = 600.0


class EngineError(RuntimeError):
    """What the tests need could not be installed or started; the message says what, and why."""


def engine_answers() -> bool:
    """Tell whether the engine that the ``docker`` command would use answers.

    Waits at most `ASK_SECONDS` seconds; an engine that takes longer counts as silent.
    """
    if shutil.which("docker") is None:
        return False
    try:
        asked = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ASK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


def check_that_apt_may_install(missing: str) -> None:
    """Raise ``EngineError`` unless this is Debian or a child of it, and we are root."""
    if shutil.which("apt-get") is None or not is_debian_family():
        raise EngineError(f"{missing}, and it is installed here only on Debian or Ubuntu")
    if os.geteuid() != 0:
        raise EngineError(f"{missing}, and only root can install it (install it, then run again)")


def is_debian_family() -> bool:
    """Tell whether this is Debian or a child of it (``man os-release``)."""
    about = os_release()
    return bool({"debian", "ubuntu"} & {about.get("ID"), *about.get("ID_LIKE", "").split()})


def os_release() -> dict[str, str]:
    """Return what ``/etc/os-release`` says of the system; empty where there is no such file."""
    path = Path("/etc/os-release")
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    return {key: value.strip("\"'") for key, _, value in pairs}


def install(*packages: str) -> None:
    """Install packages by apt."""
    apt("update")
    apt("install", "--yes", "--no-install-recommends", *packages)


def apt(*arguments: str) -> None:
    """Run apt-get without questions; its output is shown only where it fails."""
    command = ["apt-get", "--quiet", *arguments]
    print("docker_engine:", *command, flush=True)
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=APT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"'{' '.join(command)}' did not end within {APT_SECONDS:g} seconds"
        raise EngineError(message) from error
    if done.returncode != 0:
        raise EngineError(f"'{' '.join(command)}' failed:\n{done.stdout[-3000:]}")


def start() -> None:
    """Start ``dockerd`` so that it outlives nox and its terminal, and wait until it answers.

    The daemon gets a session of its own, and no descriptor of ours: a caller that reads our
    output through a pipe would otherwise wait for the daemon's end.
    """
    with LOG_FILE.open("ab") as log:
        daemon = subprocess.Popen(
            ["dockerd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if engine_answers():
            print(f"docker_engine: dockerd runs as process {daemon.pid}; its log is {LOG_FILE}")
            return
        if daemon.poll() is not None:
            raise EngineError(f"dockerd ended with code {daemon.returncode}.\n{log_end()}")
        time.sleep(0.5)
    daemon.terminate()
    raise EngineError(f"dockerd did not answer within {START_SECONDS:g} seconds.\n{log_end()}")


def log_end() -> str:
    """Return the last lines of the daemon's log, where the reason for a failure stands."""
    lines = LOG_FILE.read_text(encoding="utf-8", errors="replace").splitlines()
    return f"The end of {LOG_FILE}:\n" + "\n".join(lines[-15:])


def give_engine() -> None:
    """Make an engine answer, or raise ``EngineError``."""
    if engine_answers():
        print("docker_engine: an engine answers already.")
        return
    if os.environ.get("DOCKER_HOST"):
        raise EngineError(
            f"DOCKER_HOST is {os.environ['DOCKER_HOST']}, and no engine answers there"
        )
    check_that_apt_may_install("no Docker engine answers")
    if shutil.which("dockerd") is None:
        # dockerd does not start without iptables, whatever its package asks for.
        install("docker.io", "iptables")
        if shutil.which("docker") is None:
            # Newer distributions pack the command apart.
            install("docker-cli")
    # The package's own set-up may have started the daemon.
    if not engine_answers():
        start()


def give_debootstrap() -> None:
    """Make the command ``debootstrap`` available, or raise ``EngineError``."""
    if shutil.which("debootstrap") is None:
        check_that_apt_may_install("debootstrap, which makes the base image, is missing")
        install("debootstrap")


def main() -> int:
    """Give what the Docker tests need, or say why they will be skipped.

    Returns
    -------
    int
        The exit code: 1 only where the tests must run and something could not be given.
    """
    skipped = "the Docker tests"
    try:
        give_engine()
        skipped = "the Docker tests that make an image"
        give_debootstrap()
    except EngineError as error:
        if os.environ.get(REQUIRE_VARIABLE) == "1":
            print(f"docker_engine: {REQUIRE_VARIABLE}=1 asks for a Docker engine, but {error}")
            return 1
        print(f"docker_engine: {skipped} will be skipped: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
