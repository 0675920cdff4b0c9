"""Functions that are pickled once: those whose pickle cannot have changed since.

Pickling a function by value takes a hundred times as long as pickling its arguments. It may be
kept where nothing that the pickle holds can change without being seen: no closure, no attributes,
defaults and globals that are numbers and texts, modules, or builtin functions. All else is
pickled anew with each task, as what it holds stands then.
"""

from __future__ import annotations

import builtins
import dis
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from dockerparallel_redis_queue_container.import_scan import roots_in_function
from dockerparallel_redis_queue_container.module_origins import hides_standard_library, is_fixed

ATOMS = frozenset({int, float, complex, bool, str, bytes, type(None)})
"""Types whose values are pickled by value, hold nothing else, and never change."""

_MOST_FUNCTIONS = 256
_MOST_BYTES = 4096
# With these a function may read or change globals that its code does not name.
_REFLECTION = frozenset({"eval", "exec", "globals", "locals", "vars", "sys", "inspect"})
_MISSING = object()


@dataclass(frozen=True)
class _Known:
    """A function, what its pickle depends on, and the pickle: empty where it is not kept."""

    function: Callable[..., Any]
    code: CodeType | None
    defaults: tuple[Any, ...] | None
    variables: tuple[tuple[dict[str, Any], str, Any], ...]
    pickled: bytes

    def is_current(self) -> bool:
        function: Any = self.function
        if self.code is not None and (
            function.__code__ is not self.code
            or function.__defaults__ is not self.defaults
            or function.__kwdefaults__
            or function.__dict__
        ):
            return False
        return all(scope.get(name, _MISSING) is value for scope, name, value in self.variables)


class KnownFunctions:
    """The pickles of functions that were sent before. Thread-safe, bounded.

    Parameters
    ----------
    pickle_alone
        Pickles a function; returns the bytes, and whether they stand without code of the user.
    """

    def __init__(self, pickle_alone: Callable[[object], tuple[bytes, bool]]) -> None:
        self._pickle_alone = pickle_alone
        self._known: dict[int, _Known] = {}

    def pickled(self, function: Any) -> bytes | None:
        """Return the pickle of a function; ``None`` where it must be pickled with its task."""
        known = self._known.get(id(function))
        # The entry keeps its function alive, so the id is not another's.
        if known is not None and known.function is function and known.is_current():
            return known.pickled or None
        return self._learn(function)

    def _learn(self, function: Any) -> bytes | None:
        kind = type(function)
        if kind is BuiltinFunctionType:
            found = _look_at_builtin(function)
        elif kind is FunctionType:
            found = _look_at_function(function)
        else:
            return None
        if found is None:
            return None
        code, defaults, variables = found
        pickled, alone = self._pickle_alone(function)
        if not alone or len(pickled) > _MOST_BYTES:
            pickled = b""
        if len(self._known) >= _MOST_FUNCTIONS:
            self._known.clear()
        self._known[id(function)] = _Known(function, code, defaults, variables, pickled)
        return pickled or None


_Found = tuple[CodeType | None, tuple[Any, ...] | None, tuple[tuple[dict[str, Any], str, Any], ...]]


def _look_at_builtin(function: Any) -> _Found | None:
    module = sys.modules.get(function.__module__ or "")
    name = function.__name__
    if module is None or function.__qualname__ != name or not _is_standard(module):
        return None
    if vars(module).get(name) is not function:
        return None
    return None, None, ((vars(module), name, function),)


def _look_at_function(function: FunctionType) -> _Found | None:
    by_name = _look_at_builtin(function)
    if by_name is not None:
        return by_name
    names = _globals_of(function.__code__)
    if names is None or not _holds_constants(function):
        return None
    variables = []
    for name in names:
        value = function.__globals__.get(name, _MISSING)
        if not (value is _MISSING or type(value) in ATOMS or _is_standard(value)):
            return None
        variables.append((function.__globals__, name, value))
    # Where it is importable by its name, it is pickled by that: which must still give it.
    module = sys.modules.get(function.__module__)
    if module is not None and "." not in function.__qualname__:
        scope, name = vars(module), function.__qualname__
        variables.append((scope, name, scope.get(name, _MISSING)))
    return function.__code__, function.__defaults__, tuple(variables)


def _holds_constants(function: FunctionType) -> bool:
    """Tell whether the function itself holds nothing, or nothing that may change."""
    return (
        not (function.__closure__ or function.__dict__ or function.__kwdefaults__)
        and all(type(value) in ATOMS for value in function.__defaults__ or ())
        and all(_is_plain(value) for value in function.__annotations__.values())
        and all(is_fixed(root) for root in roots_in_function(function))
    )


def _is_standard(value: object) -> bool:
    """Tell whether it is a module that every worker has, not a file of the user in its place."""
    if not isinstance(value, ModuleType):
        return False
    root = value.__name__.partition(".")[0]
    return is_fixed(root) and not hides_standard_library(root)


def _is_plain(annotation: object) -> bool:
    if isinstance(annotation, type):
        return getattr(builtins, annotation.__name__, None) is annotation
    return annotation is None or isinstance(annotation, str)


def _globals_of(code: CodeType) -> tuple[str, ...] | None:
    """List the globals that code reads; ``None`` where it, or a function in it, may set some."""
    try:
        return _globals_read[code]
    except KeyError:
        found = _globals_read[code] = _scan(code)
        return found


def _scan(code: CodeType) -> tuple[str, ...] | None:
    if _REFLECTION.intersection(code.co_names):
        return None
    names: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in {"STORE_GLOBAL", "DELETE_GLOBAL"}:
            return None
        if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
            names.add(str(instruction.argval))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = _scan(constant)
            if inner is None:
                return None
            names.update(inner)
    return tuple(names)


_globals_read: weakref.WeakKeyDictionary[CodeType, tuple[str, ...] | None] = (
    weakref.WeakKeyDictionary()
)
