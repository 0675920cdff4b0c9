"""Which modules a piece of code imports, found by reading it and without running it.

Two forms are read: the source of a module that is shipped, and the code object of a function that
is pickled by value. Both see imports inside functions too, and modules that are named by a literal
in ``importlib.import_module("name")`` or ``__import__("name")``. A module whose name is computed
while the program runs cannot be found this way.
"""

from __future__ import annotations

import ast
import dis
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

_IMPORT_CALLS = frozenset({"import_module", "__import__"})

_found_in_code: weakref.WeakKeyDictionary[types.CodeType, tuple[tuple[str, int], ...]] = (
    weakref.WeakKeyDictionary()
)


def roots_in_source(source: bytes) -> frozenset[str]:
    """List the top-level names of the absolute imports in a source file.

    Called by the client for each Python file that is shipped. Relative imports stay inside the
    package that is shipped as a whole, and are left out.

    Parameters
    ----------
    source
        The file as it is on disk, in any encoding that Python accepts.

    Returns
    -------
    frozenset of str
        Names such as ``"numpy"`` for ``import numpy.linalg``. Empty where the file is not valid
        Python of this version.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # A template or a file for another Python version: nothing can import it here either. If
        # the task needs it, the import on the worker raises the error with its position.
        return frozenset()
    return frozenset(name.partition(".")[0] for name in _names_in_tree(tree))


def _names_in_tree(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module:
                yield node.module
        elif isinstance(node, ast.Call) and node.args:
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else None
            name = called.id if isinstance(called, ast.Name) else name
            first = node.args[0]
            if name in _IMPORT_CALLS and isinstance(first, ast.Constant):
                value = first.value
                if isinstance(value, str) and _is_module_name(value):
                    yield value


def roots_in_function(function: types.FunctionType) -> frozenset[str]:
    """List the top-level names of the imports in a function's code, nested functions included.

    Called by the client for each function that is pickled by value. The reading is done once for
    each code object. Thread-safe.

    Parameters
    ----------
    function
        The function; its globals resolve its relative imports.

    Returns
    -------
    frozenset of str
        Names such as ``"numpy"``.
    """
    names = _names_in_code(function.__code__)
    if not names:
        return frozenset()
    package = _package_of(function.__globals__)
    return frozenset((name if level == 0 else package).partition(".")[0] for name, level in names)


def _package_of(variables: Mapping[str, Any]) -> str:
    package = variables.get("__package__")
    if not isinstance(package, str):
        package = str(variables.get("__name__", "")).rpartition(".")[0]
    return package


def _names_in_code(code: types.CodeType) -> tuple[tuple[str, int], ...]:
    found = _found_in_code.get(code)
    if found is None:
        found = tuple(dict.fromkeys(_scan(code)))
        _found_in_code[code] = found
    return found


def _scan(code: types.CodeType) -> Iterator[tuple[str, int]]:
    instructions = list(dis.get_instructions(code))
    for position, instruction in enumerate(instructions):
        if instruction.opname == "IMPORT_NAME":
            # The compiler pushes the level, then the names after `import`, then imports.
            level = instructions[position - 2].argval
            yield str(instruction.argval), level if isinstance(level, int) else 0
    by_call = _IMPORT_CALLS.intersection(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _scan(constant)
        elif by_call and isinstance(constant, str) and _is_module_name(constant):
            yield constant, 0


def _is_module_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
