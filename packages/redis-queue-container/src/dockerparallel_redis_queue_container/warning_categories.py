"""Categories of warnings that travel to workers which may lack their packages.

scikit-learn sends the client's warning filters along with each task. Among them are those of
whatever else the client has imported, such as the library of its provider, and a worker has no use
for these: what it cannot import, it cannot be warned by.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from dockerparallel_redis_queue_container.module_origins import is_fixed


def reduce_category(category: type) -> tuple[Callable[..., Any], tuple[str, str, str]] | None:
    """Return how to pickle a category that a package of the client defines; else ``None``.

    Called by the pickler for a class that it would pickle by reference.

    Parameters
    ----------
    category
        Any class.
    """
    if not issubclass(category, Warning) or is_fixed(category.__module__.partition(".")[0]):
        return None
    general = next(base for base in category.__mro__ if base.__module__ == "builtins")
    return find_category, (category.__module__, category.__qualname__, general.__name__)


def find_category(module: str, name: str, general: str) -> Any:
    """Return the category, or where its module is not there, the built-in one above it.

    Called on a worker, by the unpickling of a task.

    Raises
    ------
    AttributeError
        The module is there, and has no such name: it is of another version.
    """
    try:
        found: Any = sys.modules.get(module) or importlib.import_module(module)
    except ModuleNotFoundError:
        # No code of it runs here, so that nothing issues such a warning.
        module, name = "builtins", general
        found = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    return found
