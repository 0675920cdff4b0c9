"""The outcome of a task as bytes: a result, or an exception with the worker's traceback.

The first byte is ``R`` for a result, and the rest is its pickle; ``P`` or ``S`` for a large one
(see ``large_outcomes``); or ``E`` for an exception. The rest is then the pickle of a tuple of plain
parts, which can be read anywhere: the text of the traceback, a description of the exception, and
the pickle of the exception itself or ``None``.
"""

from __future__ import annotations

import importlib.metadata
import io
import pickle
import signal
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import cloudpickle

from dockerparallel_redis_queue_container.errors import (
    RemoteTaskError,
    RemoteTraceback,
    ResultError,
    WorkerDiedError,
)
from dockerparallel_redis_queue_container.exception_copies import RAISED_BY_VALUES, pickle_exception
from dockerparallel_redis_queue_container.known_functions import ATOMS
from dockerparallel_redis_queue_container.large_outcomes import (
    IN_PARTS,
    LARGE_RESULT,
    LargeOutcome,
    ResultParts,
    read_inline,
    travels_apart,
)
from dockerparallel_redis_queue_container.large_parts import is_long
from dockerparallel_redis_queue_container.memory_limit import over_the_limit
from dockerparallel_redis_queue_container.module_origins import find_origin, is_fixed
from dockerparallel_redis_queue_container.serialization import PICKLE_PROTOCOL

_RESULT = b"R"
_EXCEPTION = b"E"
_OUR_FOLDER = str(Path(__file__).parent)


def success(value: object) -> bytes | LargeOutcome:
    """Pickle the result of a task; called by the worker. Never raises what the value raises.

    Parameters
    ----------
    value
        Anything. Where it cannot be pickled, the outcome is a `ResultError` instead, whose text
        holds the traceback of the attempt.

    Returns
    -------
    bytes or LargeOutcome
        For `load`.
    """
    if type(value) in ATOMS and not is_long(value, LARGE_RESULT):
        # Making cloudpickle's pickler takes ten times as long.
        pickled = pickle.dumps(value, PICKLE_PROTOCOL)
        return ResultParts().outcome(pickled) or _RESULT + pickled
    large = ResultParts()
    with io.BytesIO() as buffer:
        pickler = cloudpickle.CloudPickler(
            buffer, protocol=PICKLE_PROTOCOL, buffer_callback=large.keep
        )
        try:
            pickler.dump(travels_apart(value))
        except RAISED_BY_VALUES as error:
            message = (
                f"The task has run, but its result, of type {_type_name(type(value))}, cannot be "
                f"pickled to be sent to the client: {_text_of(error)}. Return something that can "
                "be pickled, or the part of it that you need."
            )
            return _pack(ResultError(message), _traceback_text(error))
        # Not a view of the buffer: with one, the collector of Python 3.12 and 3.13 may crash.
        pickled = buffer.getvalue()
    return large.outcome(pickled) or _RESULT + pickled


def failure(error: BaseException) -> bytes:
    """Pickle the exception that ended a task; called by the worker. Never raises what it raises.

    Parameters
    ----------
    error
        The exception, with its traceback. It arrives as its own type, with its arguments,
        attributes and notes; one that cannot travel is replaced by a `RemoteTaskError` that
        names its type and holds its message.

    Returns
    -------
    bytes
        For `load`.
    """
    return _pack(error, _traceback_text(error))


def worker_died(
    attempts: int,
    *,
    exit_code: int | None = None,
    signal_number: int | None = None,
    memory_limit: int | None = None,
    log_tail: str = "",
) -> bytes:
    """Make the outcome of a task that was given up because its workers died.

    Parameters
    ----------
    attempts
        How often the task was tried.
    exit_code
        The exit code of the last worker, where it is known.
    signal_number
        The signal that ended the last worker, where it is known.
    memory_limit
        The limit of the container's memory, in bytes, where the last worker was killed for it.
    log_tail
        The end of the last worker's log, where it is known.

    Returns
    -------
    bytes
        For `load`, which gives a `WorkerDiedError` with these attributes.
    """
    how = "was lost"
    advice = (
        "Look for what the task does to its process (memory, native code, os._exit) in the log of "
        "the worker."
    )
    if memory_limit is not None:
        advice = "Let a task need less, or give the workers more (worker_memory)."
    if signal_number is not None:
        how = f"was ended by {_signal_name(signal_number)}"
        if memory_limit is not None:
            how += f" {over_the_limit(memory_limit)}"
    elif exit_code is not None:
        how = f"ended with exit code {exit_code}"
    message = (
        f"The task was given up after {attempts} attempts, because each time the worker that ran "
        f"it died; the last one {how}. {advice}"
    )
    if log_tail:
        message += f" The end of that log:\n{log_tail}"
    error = WorkerDiedError(message, attempts, exit_code, signal_number, memory_limit, log_tail)
    return _pack(error, "")


def missing() -> bytes:
    """Make the outcome of a task whose large result the server does not have any more."""
    message = (
        "The task has run, but the server has lost its result, which was stored apart because it "
        "is large; perhaps it was restarted meanwhile. Submit the task again."
    )
    return _pack(ResultError(message), "")


def load(blob: bytes | memoryview | LargeOutcome) -> tuple[bool, Any]:
    """Unpickle an outcome; called by the client.

    One that is stored apart must have been fetched.

    Returns
    -------
    ok : bool
        Whether the task gave a result.
    value
        The result, or the exception to raise. The exception's ``__cause__`` is a
        `RemoteTraceback` with the traceback from the worker, where there is one. What cannot be
        unpickled on the client is a `ResultError` with the reason as its cause. A missing module
        gets a note that names the package to install on the workers.
    """
    try:
        if not isinstance(blob, LargeOutcome) and blob[0] == IN_PARTS:
            blob = read_inline(blob)
        if isinstance(blob, LargeOutcome):
            return True, blob.load()
        content = pickle.loads(memoryview(blob)[1:])  # noqa: S301  # from our own workers
    except RAISED_BY_VALUES as error:
        problem = ResultError(
            f"The task has run, but its result cannot be unpickled on the client: "
            f"{_text_of(error)}. The client needs the modules that the result is made of."
        )
        problem.__cause__ = error
        return False, problem
    if blob[:1] == _RESULT:
        return True, content
    text, description, data = content
    return False, _load_exception(text, description, data)


def _load_exception(text: str, description: str, data: bytes | None) -> BaseException:
    error: BaseException
    try:
        if data is None:
            error = RemoteTaskError(f"{description} (the exception itself cannot be pickled)")
        else:
            error = pickle.loads(data)  # noqa: S301  # from our own workers
    except RAISED_BY_VALUES as reason:
        error = RemoteTaskError(
            f"{description} (the exception itself cannot be unpickled on the client: "
            f"{_text_of(reason)})"
        )
    if text:
        error.__cause__ = RemoteTraceback(text)
    if isinstance(error, ModuleNotFoundError) and error.name:
        _note_package(error, error.name.partition(".")[0])
    return error


def _note_package(error: BaseException, root: str) -> None:
    """Say what to do about a module that the worker lacks, from what this client knows of it."""
    if is_fixed(root):
        return
    if find_origin(root) is not None:
        error.add_note(
            f"The module {root!r} is your own, but nothing showed that the task needs it: it is "
            "sent along where a module or function of the task imports it by its literal name."
        )
    packages = importlib.metadata.packages_distributions().get(root)
    for name in dict.fromkeys(packages or ()):
        version = importlib.metadata.version(name)
        error.add_note(
            f"This client has the module {root!r} from the package {name} {version}. To have it "
            f'on the workers: cluster.worker_container.add_pip_packages("{name}=={version}")'
        )


def _pack(error: BaseException, text: str) -> bytes:
    description = f"{_type_name(type(error))}: {_text_of(error)}"
    content = (text, description, pickle_exception(error))
    return _EXCEPTION + pickle.dumps(content, protocol=PICKLE_PROTOCOL)


def _traceback_text(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(type(error), error, _without_our_frames(error))
        return "\n" + "".join(lines).encode("utf-8", "backslashreplace").decode()
    except RAISED_BY_VALUES as problem:
        return f"\n(the traceback cannot be shown, because of a {_type_name(type(problem))})"


def _without_our_frames(error: BaseException) -> TracebackType | None:
    """Drop the frames of the worker that called the task, unless there is nothing else."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OUR_FOLDER):
        frames = frames.tb_next
    return frames if frames is not None else error.__traceback__


def _text_of(error: BaseException) -> str:
    try:
        return str(error).encode("utf-8", "backslashreplace").decode()
    except RAISED_BY_VALUES as problem:
        return f"(its message cannot be shown: its __str__ raised {_type_name(type(problem))})"


def _type_name(kind: type) -> str:
    module, name = str(kind.__module__), str(kind.__qualname__)
    return name if module in {"builtins", "__main__"} else f"{module}.{name}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
