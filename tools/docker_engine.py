"""Give this machine a Docker engine for the tests, where that can be done without asking.

Run by ``nox -s docker_engine``; the only part of the workspace that installs anything on the
system. Uses the standard library alone, since it runs before anything is installed.
``engine_answers`` also serves the tests, which skip without an engine.
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
    """The engine could not be installed or started; the message says which, and why."""


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


def reason_to_leave_alone() -> str | None:
    """Say why no engine may be started here, or None where it may."""
    if os.environ.get("DOCKER_HOST"):
        return f"DOCKER_HOST is {os.environ['DOCKER_HOST']}, and no engine answers there"
    if shutil.which("apt-get") is None or not is_debian_family():
        return "no engine answers, and one is installed here only on Debian or Ubuntu"
    if os.geteuid() != 0:
        return "no engine answers, and only root can install one (install Docker, then run again)"
    return None


def is_debian_family() -> bool:
    """Read ``/etc/os-release`` (its format: ``man os-release``) for Debian or a child of it."""
    path = Path("/etc/os-release")
    if not path.exists():
        return False
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    names = [value.strip("\"'") for key, _, value in pairs if key in {"ID", "ID_LIKE"}]
    return bool({"debian", "ubuntu"} & set(" ".join(names).split()))


def install() -> None:
    """Install the engine, and the command where the distribution packs it apart, by apt."""
    apt("update")
    apt("install", "--yes", "--no-install-recommends", "docker.io")
    if shutil.which("docker") is None:
        apt("install", "--yes", "--no-install-recommends", "docker-cli")


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


def main() -> int:
    """Make an engine answer, or say why the Docker tests will be skipped.

    Returns
    -------
    int
        The exit code: 1 only where the tests must have an engine and none could be given.
    """
    if engine_answers():
        print("docker_engine: an engine answers already; nothing to do.")
        return 0
    reason = reason_to_leave_alone()
    if reason is None:
        try:
            if shutil.which("dockerd") is None:
                install()
            # The package's own set-up may have started the daemon.
            if not engine_answers():
                start()
        except EngineError as error:
            reason = str(error)
        else:
            return 0
    if os.environ.get(REQUIRE_VARIABLE) == "1":
        print(f"docker_engine: {REQUIRE_VARIABLE}=1 asks for a Docker engine, but {reason}")
        return 1
    print(f"docker_engine: the Docker tests will be skipped: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
