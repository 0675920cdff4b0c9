"""Runs an installer such as pip: bounded in time, its output in the log and in the error."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from dockerparallel_redis_queue_container.errors import PackageInstallError
from dockerparallel_redis_queue_container.requirements import mask_credentials

_SHOWN_LINES = 25
_LOOK_SECONDS = 0.5
_END_SECONDS = 10.0

_logger = logging.getLogger("dockerparallel.redis_queue.installer")


def run_installer(
    command: Sequence[str], *, what: str, environ: Mapping[str, str], timeout: float, advice: str
) -> None:
    """Run a program to its end, and log each line of its output as it comes.

    The program stays in the process group of the caller, so that whoever ends the group ends it
    too. User and password in URLs are hidden in all that is logged and raised.

    Parameters
    ----------
    command
        The program and its arguments; no shell is involved.
    what
        What is being done, for messages: ``"pip could not install numpy"``.
    environ
        The whole environment of the program.
    timeout
        Seconds after which the program, and those it has started, are killed.
    advice
        What the user can do when the time is over.

    Raises
    ------
    PackageInstallError
        The program cannot be started, ended with an error (the message holds the last lines of its
        output), or took too long.
    """
    deadline = time.monotonic() + timeout
    _logger.info("Running: %s", mask_credentials(" ".join(command)))
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environ),
        )
    except OSError as error:
        raise PackageInstallError(f"{what}: {command[0]} cannot be started: {error}.") from error
    tail: deque[str] = deque(maxlen=_SHOWN_LINES)
    try:
        if not _follow(process, tail, deadline):
            raise PackageInstallError(
                f"{what}: it did not finish within {timeout:g} seconds and was killed. {advice}"
                + _shown(tail)
            )
    finally:
        if process.poll() is None:
            _kill_tree(process.pid)
            process.wait(_END_SECONDS)
        if process.stdout is not None:
            process.stdout.close()
    if process.returncode != 0:
        raise PackageInstallError(f"{what} (exit code {process.returncode}).{_shown(tail)}")


def _follow(process: subprocess.Popen[bytes], tail: deque[str], deadline: float) -> bool:
    """Log the output until the program has ended; False where the time is over before."""
    if process.stdout is None:
        raise AssertionError("the output is a pipe")
    descriptor = process.stdout.fileno()
    os.set_blocking(descriptor, False)
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if selector.select(min(left, _LOOK_SECONDS)):
                chunk = os.read(descriptor, 65536)
                *lines, rest = (rest + chunk).split(b"\n")
                _log_lines(lines, tail)
                if chunk:
                    continue
                _log_lines([rest] if rest else [], tail)
                with contextlib.suppress(subprocess.TimeoutExpired):  # The caller is told below.
                    process.wait(max(deadline - time.monotonic(), 0))
                return process.returncode is not None
            if process.poll() is not None:
                # It has left a process behind that keeps the pipe open; its work is done.
                return True
    return False


def _log_lines(lines: Sequence[bytes], tail: deque[str]) -> None:
    for line in lines:
        text = mask_credentials(line.decode("utf-8", "replace").rstrip())
        tail.append(text)
        _logger.info("%s", text)


def _shown(tail: deque[str]) -> str:
    return " The end of its output:\n" + "\n".join(tail) if tail else ""


def _kill_tree(process_id: int) -> None:
    for one in [process_id, *_descendants(process_id)]:
        with contextlib.suppress(ProcessLookupError):  # It has ended by itself meanwhile.
            os.kill(one, signal.SIGKILL)


def _descendants(process_id: int) -> list[int]:
    """List the processes that a process has started; where there is no /proc, none is known."""
    children: dict[int, list[int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # It has ended by itself meanwhile.
            fields = file.read_text(errors="replace").rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(file.parent.name))
    found: list[int] = []
    waiting = [process_id]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
