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
from dockerparallel_conformance.alarm import unhurried
from dockerparallel_conformance.errors import ConformanceFailure
from dockerparallel_conformance.session import ANSWER, REQUEST, start_cluster

_LOG = "log.txt"
_LOG_END = 2000
# Part of the time that the other process has for starting its cluster: it then says itself what
# took too long, before it is ended.
_START_SHARE = 0.8


class CannotPickleError(DockerParallelError):
    """The extensions cannot be handed to a fresh interpreter; the message names what cannot."""


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

    Returns
    -------
    dict
        ``static_data`` of the cluster, the ``endpoint`` of its server for the client, the
        ``numbers`` of its workers, all as JSON types, and what the process ``printed`` last.

    Raises
    ------
    CannotPickleError
        The options cannot be pickled, or not be found by another interpreter.
    ConformanceFailure
        The process failed or took too long; the message has the end of what it printed.
    """
    request = {
        "options": options,
        "stop_on_exit": stop_on_exit,
        "timeout": timeout * _START_SHARE,
    }
    try:
        data = pickle.dumps(request)
    except Exception as error:  # pickling runs the extension's own code
        raise CannotPickleError(
            f"what cannot be pickled ({type(error).__name__}: {error})"
        ) from error
    if b"__main__" in data:
        raise CannotPickleError("classes of __main__: put them into a module")
    # Only this user enters the folder, where the password will be.
    with tempfile.TemporaryDirectory(prefix="dockerparallel-conformance-") as name:
        folder = Path(name)
        (folder / REQUEST).write_bytes(pickle.dumps(sys.path) + data)
        _run([sys.executable, "-m", "dockerparallel_conformance.session", name], folder, timeout)
        return _answer(folder)


def _run(command: list[str], folder: Path, timeout: float) -> None:
    # Files instead of pipes: what a provider starts may inherit them, and keep a pipe open.
    with (folder / _LOG).open("wb") as log, unhurried():
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
        raise _failure(f"a session in another process {reason}", folder)


def in_a_forked_child(options: dict[str, Any], *, timeout: float) -> dict[str, Any]:
    """Do as :func:`in_another_process` in a forked child, which can only leave clusters behind.

    For extensions that cannot be pickled. The child is ended without the exit handlers that it
    has inherited, which are not its own.
    """
    with tempfile.TemporaryDirectory(prefix="dockerparallel-conformance-") as name:
        folder = Path(name)
        with unhurried():
            child = _fork(lambda: _leave(options, timeout * _START_SHARE, folder))
        try:
            _, status = os.waitpid(child, 0)
        except BaseException:
            # The alarm of the check, for instance: the child must not outlive it.
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        if status != 0:
            raise _failure("a session in a forked child failed", folder)
        return _answer(folder)


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
    # The terminal is the parent's; what is started here would keep it.
    log = os.open(folder / _LOG, os.O_WRONLY | os.O_CREAT, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    try:
        _, answer = start_cluster(options, stop_on_exit=False, timeout=timeout)
        (folder / ANSWER).write_text(json.dumps(answer))
    except BaseException:
        os.write(log, traceback.format_exc().encode())
        raise


def _answer(folder: Path) -> dict[str, Any]:
    answer = cast("dict[str, Any]", json.loads((folder / ANSWER).read_text()))
    return {**answer, "printed": _printed(folder)}


def _failure(what: str, folder: Path) -> ConformanceFailure:
    return ConformanceFailure(f"{what}. It printed:\n{_printed(folder)}")


def _printed(folder: Path) -> str:
    return (folder / _LOG).read_text(errors="replace")[-_LOG_END:]
