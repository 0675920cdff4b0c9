"""Clusters that another process starts and leaves behind, or stops by leaving."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from dockerparallel import DockerParallelError
from dockerparallel_conformance.errors import ConformanceFailure
from dockerparallel_conformance.session import ANSWER, REQUEST, start_cluster

_LOG = "log.txt"
_LOG_END = 2000


class CannotPickleError(DockerParallelError):
    """The extensions cannot be handed to a fresh interpreter; the message says why."""


def in_another_process(
    options: dict[str, Any], *, stop_on_exit: bool, timeout: float
) -> dict[str, Any]:
    """Start a cluster in a fresh interpreter that ends then, and return what it tells.

    Parameters
    ----------
    options
        Arguments of ``DockerCluster``, which must be picklable.
    stop_on_exit
        Whether the cluster is to be stopped when that interpreter ends.
    timeout
        Seconds for all of it.

    Raises
    ------
    CannotPickleError
        The options cannot be pickled, or not be found by another interpreter.
    ConformanceFailure
        The process failed or took too long; the message has the end of what it printed.
    """
    request = {"options": options, "stop_on_exit": stop_on_exit, "timeout": timeout}
    for extension in (options["provider"], options["worker_container"]):
        if type(extension).__module__ == "__main__":
            raise CannotPickleError(
                f"{type(extension).__name__} is a class of __main__: put it into a module"
            )
    try:
        data = pickle.dumps(sys.path) + pickle.dumps(request)
    except Exception as error:  # pickling runs the extension's own code
        raise CannotPickleError(f"{type(error).__name__}: {error}") from error
    with tempfile.TemporaryDirectory(prefix="dockerparallel-conformance-") as name:
        folder = Path(name)
        (folder / REQUEST).write_bytes(data)
        _run([sys.executable, "-m", "dockerparallel_conformance.session", name], folder, timeout)
        return cast("dict[str, Any]", json.loads((folder / ANSWER).read_text()))


def _run(command: list[str], folder: Path, timeout: float) -> None:
    # Files instead of pipes: what a provider starts may inherit them, and keep a pipe open.
    with (folder / _LOG).open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        code = process.wait(timeout)
        reason = f"ended with exit code {code}"
    except subprocess.TimeoutExpired:
        code, reason = -1, f"had not ended after {timeout:g} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout)
    if code != 0:
        end = (folder / _LOG).read_text(errors="replace")[-_LOG_END:]
        raise ConformanceFailure(f"a session in another process {reason}. It printed:\n{end}")


def in_a_forked_child(options: dict[str, Any], *, timeout: float) -> dict[str, Any]:
    """Do as :func:`in_another_process` in a forked child, which can only leave clusters behind.

    For extensions that cannot be pickled. The child is ended without the exit handlers that it
    has inherited, which are not its own.
    """
    with tempfile.TemporaryDirectory(prefix="dockerparallel-conformance-") as name:
        folder = Path(name)
        child = _fork(lambda: _leave(options, timeout, folder))
        try:
            _, status = os.waitpid(child, 0)
        except BaseException:
            # The alarm of the check, for instance: the child must not outlive it.
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        if status != 0:
            end = (folder / _LOG).read_text(errors="replace")[-_LOG_END:]
            raise ConformanceFailure(f"a session in a forked child failed:\n{end}")
        return cast("dict[str, Any]", json.loads((folder / ANSWER).read_text()))


def _fork(work: Callable[[], None]) -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of threads that the child lacks: none of them is ours, and the child
        # uses nothing that they hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - told to the parent by the exit code and the log
            os._exit(1)
        os._exit(0)
    return child


def _leave(options: dict[str, Any], timeout: float, folder: Path) -> None:
    try:
        _, answer = start_cluster(options, stop_on_exit=False, timeout=timeout)
        (folder / ANSWER).write_text(json.dumps(answer))
    except BaseException:
        (folder / _LOG).write_text(traceback.format_exc())
        raise
