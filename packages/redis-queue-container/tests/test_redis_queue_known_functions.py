"""Functions whose pickle is kept, and all that must make it be pickled anew."""

from __future__ import annotations

import math
import os
import time
import types
from pathlib import Path
from typing import Any

import pytest

from dockerparallel_redis_queue_container.known_functions import KnownFunctions
from dockerparallel_redis_queue_container.module_loader import TaskLoader
from dockerparallel_redis_queue_container.serialization import TaskPickler, split_known


class Pickling:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, function: object) -> tuple[bytes, bool]:
        self.count += 1
        return b"pickle", True


def made(source: str, **variables: Any) -> Any:
    """Return the function ``f`` of a module like that of a script."""
    scope: dict[str, Any] = {"__name__": "__main__", **variables}
    exec(compile(source, "script", "exec", dont_inherit=True), scope)  # noqa: S102  # of this file
    return scope["f"]


KEPT = [
    "def f(x): return x + 1",
    "def f(x): return time.sleep(x) or FACTOR * x",
    "def f(x: int, y=2) -> 'int': return len([i for i in range(x)])",
    "def f(x): return missing(x)",
    "f = lambda x: str(x)",
]
NOT_KEPT = [
    "def f(x):\n  global FACTOR\n  FACTOR += 1\n  return FACTOR",
    "def f(x):\n  def g():\n    global FACTOR\n    FACTOR = 2\n  return g()",
    "def f(x): return LIST",
    "def f(x): return [LIST for _ in range(x)]",
    "def f(x, y=[]): return y",
    "def f(x, *, y=1): return y",
    "def f(x): return f",
    "def f(x): return globals()['LIST']",
    "def f(x):\n  import some_module_of_the_user\n  return some_module_of_the_user",
    "def outer(n):\n  def f(x): return n\n  return f\nf = outer(1)",
    "def f(x): return x\nf.attribute = 1",
    "class A: pass\ndef f(x: A): return x",
    "def f(x): return f.calls",
]


@pytest.mark.parametrize("source", KEPT)
def test_a_plain_function_is_pickled_once(source: str) -> None:
    pickling = Pickling()
    known = KnownFunctions(pickling)
    function = made(source, time=time, FACTOR=3)
    assert [known.pickled(function) for _ in range(3)] == [b"pickle"] * 3
    assert pickling.count == 1


@pytest.mark.parametrize("source", NOT_KEPT)
def test_what_may_change_unseen_is_not_kept(source: str) -> None:
    pickling = Pickling()
    function = made(source, FACTOR=3, LIST=[1])
    assert KnownFunctions(pickling).pickled(function) is None
    assert pickling.count == 0


@pytest.mark.parametrize("function", [abs, len, math.sqrt, os.getpid, os.path.join])
def test_functions_of_the_standard_library_are_kept(function: Any) -> None:
    assert KnownFunctions(Pickling()).pickled(function) == b"pickle"


@pytest.mark.parametrize("thing", [int, "text".upper, Path("x").exists])
def test_other_things_that_can_be_called_are_not_kept(thing: Any) -> None:
    assert KnownFunctions(Pickling()).pickled(thing) is None


def other(x: int) -> int:
    return x


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.__globals__.update(FACTOR=4),
        lambda f: f.__globals__.update(time=math),
        lambda f: f.__globals__.update(len=other),
        lambda f: setattr(f, "__code__", other.__code__),
        lambda f: setattr(f, "__defaults__", (9,)),
    ],
)
def test_a_change_is_seen(change: Any) -> None:
    pickling = Pickling()
    known = KnownFunctions(pickling)
    function = made("def f(x): return time.time() * FACTOR * len(x)", time=time, FACTOR=3)
    known.pickled(function)
    change(function)
    known.pickled(function)
    assert known.pickled(function) is None or pickling.count == 2


def test_each_task_has_the_globals_of_its_time(tmp_path: Path) -> None:
    pickler = TaskPickler(lambda _digest, _bundle: None)
    loader = TaskLoader(lambda _digest: None, tmp_path)
    function: types.FunctionType = made("def f(x): return FACTOR * x", FACTOR=3)
    results = []
    for factor in (3, 3, 4, 3):
        function.__globals__["FACTOR"] = factor
        payload = pickler.pack(function, (10,), {}).payload
        assert split_known(payload) is not None
        called, args, kwargs = loader.loads_call(payload)
        results.append(called(*args, **kwargs))
    assert results == [30, 30, 40, 30]


def test_a_function_that_comes_with_code_of_the_user_is_not_kept() -> None:
    known = KnownFunctions(lambda _function: (b"pickle", False))
    assert known.pickled(abs) is None
    assert known.pickled(abs) is None


def test_what_is_kept_is_bounded() -> None:
    known = KnownFunctions(Pickling())
    for number in range(1000):
        assert known.pickled(made(f"def f(x): return x + {number}"))
    assert len(known._known) <= 256
