"""Results and exceptions on their way from the worker to the client."""

from __future__ import annotations

import pickle
import threading
import traceback
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest

from dockerparallel import DockerParallelError
from dockerparallel_redis_queue_container import outcomes
from dockerparallel_redis_queue_container.errors import (
    ModuleNotOnWorkerError,
    RemoteTaskError,
    RemoteTraceback,
    ResultError,
    WorkerDiedError,
)
from dockerparallel_redis_queue_container.large_outcomes import LargeOutcome


def failed(outcome: bytes | LargeOutcome) -> BaseException:
    ok, error = outcomes.load(outcome)
    assert not ok
    assert isinstance(error, BaseException)
    return error


def travelled(error: BaseException) -> BaseException:
    """Raise an exception as a task would, and send it."""
    try:
        raise error
    except type(error) as raised:
        return failed(outcomes.failure(raised))


@pytest.mark.parametrize("value", [None, 1, [1, "a"], {"k": (1, 2)}, ValueError("a value")])
def test_results(value: object) -> None:
    ok, result = outcomes.load(outcomes.success(value))
    assert ok
    assert repr(result) == repr(value)


def test_a_function_as_a_result() -> None:
    ok, function = outcomes.load(outcomes.success(lambda x: x + 1))
    assert ok
    assert function(1) == 2


def test_result_that_cannot_be_pickled() -> None:
    error = failed(outcomes.success({"lock": threading.Lock()}))
    assert isinstance(error, ResultError)
    assert isinstance(error, pickle.PicklingError)
    assert isinstance(error, DockerParallelError)
    assert "its result, of type dict, cannot be pickled" in str(error)
    assert "lock" in str(error)
    assert "Traceback" in str(error.__cause__)


class KeywordError(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class DoublingError(Exception):
    """Unpickled in the usual way, its message would be made a second time."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no such thing: {name}")


class OwnOSError(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(2, "not there", path)
        self.path = path


class RaisingReduceError(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("not me")


class ExitingReduceError(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit("not me")


class OwnExitError(BaseException):
    pass


def simple(error: Any) -> Any:
    error.extra = [1]
    error.add_note("a note")
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("plain", 2),
        KeyError("key"),
        KeywordError(code=3),
        DoublingError("x"),
        OwnOSError("/there"),
        FileNotFoundError(2, "gone", "/file"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ImportError("no", name="n", path="p"),
        SystemExit(3),
        KeyboardInterrupt(),
        StopIteration(5),
        ExceptionGroup("several", [ValueError(1), KeywordError(code=4)]),
        RaisingReduceError("kept"),
        ExitingReduceError("kept"),
        OwnExitError(1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exception_arrives_as_it_was(error: Any) -> None:
    arrived: Any = travelled(simple(error))
    assert type(arrived) is type(error)
    assert repr(arrived.args) == repr(error.args)
    assert str(arrived) == str(error)
    assert arrived.extra == [1]
    assert arrived.__notes__ == ["a note"]
    for name in ("code", "path", "errno", "filename", "name", "start", "value"):
        assert getattr(arrived, name, None) == getattr(error, name, None)
    assert isinstance(arrived.__cause__, RemoteTraceback)


def test_local_exception_class_is_the_same_class_afterwards() -> None:
    class LocalError(Exception):
        pass

    assert type(travelled(LocalError("x"))) is LocalError


class HoldingError(Exception):
    def __init__(self) -> None:
        super().__init__("it holds a lock")
        self.lock = threading.Lock()


class NamelessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __reduce__(self) -> Any:
        raise RuntimeError("no pickle")

    def __getattribute__(self, name: str) -> Any:
        if name in {"args", "__dict__", "__notes__"}:
            raise RuntimeError(name)
        return super().__getattribute__(name)


class UnpicklableError(Exception):
    def __reduce__(self) -> Any:
        return KeywordError, (1, 2, 3)

    def __init__(self, lock: object) -> None:
        super().__init__(lock)

    def __str__(self) -> str:
        return "\udcff"


def test_exception_that_cannot_travel_has_a_stand_in() -> None:
    arrived = travelled(HoldingError())
    assert isinstance(arrived, RemoteTaskError)
    assert "HoldingError: it holds a lock" in str(arrived)
    assert "raise error" in str(arrived.__cause__)
    assert isinstance(travelled(NamelessError()), RemoteTaskError)
    arrived = travelled(UnpicklableError(threading.Lock()))
    assert isinstance(arrived, RemoteTaskError)
    assert "\\udcff" in str(arrived)


def test_traceback_text_has_causes_and_the_users_frames_only() -> None:
    def inner() -> None:
        raise KeyError("the reason")

    def work() -> None:
        try:
            inner()
        except KeyError as error:
            raise ValueError("the message") from error

    with pytest.raises(ValueError, match="message") as info:
        work()
    arrived = failed(outcomes.failure(info.value))
    shown = "".join(traceback.format_exception(arrived))
    assert shown.index("raise KeyError") < shown.index("direct cause") < shown.index("raise Value")
    assert shown.rstrip().endswith("ValueError: the message")
    assert 'raise ValueError("the message") from error' in str(arrived.__cause__)


def test_frames_of_the_worker_itself_are_dropped() -> None:
    source = """
def run(work, failure):
    try:
        work()
    except ZeroDivisionError as error:
        return failure(error)
"""
    names: dict[str, Any] = {}
    exec(compile(source, Path(outcomes.__file__).with_name("worker.py"), "exec"), names)  # noqa: S102
    text = str(failed(names["run"](lambda: 1 // 0, outcomes.failure)).__cause__)
    assert "1 // 0" in text
    assert "worker.py" not in text


class FailsOnClient:
    def __reduce__(self) -> Any:
        return _raise, ()


def _raise() -> None:
    raise ZeroDivisionError("only here")


class FailsOnClientError(Exception):
    on_client = False

    def __init__(self, text: str) -> None:
        if self.on_client:
            raise ZeroDivisionError("only here")
        super().__init__(text)


def test_what_the_client_cannot_unpickle_fails_that_one_future() -> None:
    error = failed(outcomes.success(FailsOnClient()))
    assert isinstance(error, ResultError)
    assert "cannot be unpickled on the client: only here" in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_exception_that_the_client_cannot_unpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    blob = outcomes.failure(FailsOnClientError("the message"))
    monkeypatch.setattr(FailsOnClientError, "on_client", True)
    error = failed(blob)
    assert isinstance(error, RemoteTaskError)
    assert "FailsOnClientError: the message" in str(error)
    assert "only here" in str(error)


@pytest.mark.parametrize("blob", [b"", b"R", b"Rabc", b"E", b"X123"])
def test_damaged_outcome(blob: bytes) -> None:
    assert isinstance(failed(blob), ResultError)


def test_missing_module_is_noted_with_its_package() -> None:
    arrived = travelled(ModuleNotOnWorkerError("missing", name="cloudpickle_not"))
    assert not hasattr(arrived, "__notes__")
    arrived = travelled(ModuleNotFoundError("missing", name="pytest.sub"))
    assert f'add_pip_packages("pytest=={pytest.__version__}")' in arrived.__notes__[0]
    assert not hasattr(travelled(ModuleNotFoundError("missing", name="json.no")), "__notes__")
    assert not hasattr(travelled(ModuleNotFoundError("missing")), "__notes__")


def test_worker_died() -> None:
    error = failed(outcomes.worker_died(3, signal_number=9, log_tail="line 1\nline 2"))
    assert isinstance(error, WorkerDiedError)
    assert isinstance(error, BrokenExecutor)
    assert (error.attempts, error.exit_code, error.signal_number) == (3, None, 9)
    assert "after 3 attempts" in str(error)
    assert "SIGKILL" in str(error)
    assert str(error).endswith("line 2")
    assert error.__cause__ is None
    assert "exit code 4" in str(failed(outcomes.worker_died(1, exit_code=4)))
    assert "signal 99" in str(failed(outcomes.worker_died(1, signal_number=99)))
    assert "was lost" in str(failed(outcomes.worker_died(1)))


def test_worker_died_for_want_of_memory() -> None:
    error = failed(outcomes.worker_died(3, signal_number=9, memory_limit=256 * 2**20))
    assert isinstance(error, WorkerDiedError)
    assert error.memory_limit == 256 * 2**20
    assert (
        "was ended by SIGKILL because the container went over its memory limit of 256 MiB"
    ) in str(error)
    assert "worker_memory" in str(error)
