"""Where a module of the client comes from: installed, or the user's own.

Only the user's own modules are shipped. Those of the standard library, those below a
``site-packages`` or ``dist-packages`` folder, and those that every worker has anyway because the
worker itself is made of them, are not.
"""

from __future__ import annotations

import site
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

PROVIDED = frozenset(
    {"dockerparallel", __name__.partition(".")[0], "cloudpickle", "joblib", "redis"}
)
"""Top-level modules that the worker is made of: never shipped, never replaced on a worker."""

_INSTALL_FOLDERS = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True)
class Origin:
    """The source of one top-level module of the user.

    Parameters
    ----------
    root
        The top-level name.
    file
        The file of a module that is one file, else ``None``.
    folders
        The folder of a package, or each portion of a namespace package, in the order of import.
    """

    root: str
    file: Path | None = None
    folders: tuple[Path, ...] = ()

    def holds(self, name: str, module: ModuleType) -> bool:
        """Tell whether importing ``name`` from a copy of this source gives that module.

        Parameters
        ----------
        name
            Full name of the module, such as ``"package.part"``.
        module
            The module that is loaded under this name.
        """
        inner = name.split(".")[1:]
        if not inner and self.file is not None:
            return _same_path(getattr(module, "__file__", None), self.file)
        places = [getattr(module, "__file__", None)]
        if places == [None]:
            places = list(getattr(module, "__path__", ()))
        return any(
            _parts_below(place, folder) == inner
            for place in places
            if isinstance(place, str)
            for folder in self.folders
        )


def is_fixed(root: str) -> bool:
    """Tell whether every worker has this top-level module already, so that none is ever shipped."""
    return root in PROVIDED or root in sys.stdlib_module_names or root in sys.builtin_module_names


def hides_standard_library(root: str) -> bool:
    """Tell whether the loaded module of this name is a file of the user in a standard one's place.

    A ``queue.py`` beside the script is an example. It cannot be shipped: on a worker it would
    take the standard module away from everything else.
    """
    file = getattr(sys.modules.get(root), "__file__", None)
    return (
        root in sys.stdlib_module_names
        and isinstance(file, str)
        and Path(file).is_file()
        and not _is_install_path(file)
    )


def is_installed(root: str) -> bool:
    """Tell whether the import system finds this module among what is installed on the client.

    Raises
    ------
    Exception
        Whatever a finder in ``sys.meta_path`` raises: an import would raise it, too.
    """
    spec = _find_spec(root) or getattr(sys.modules.get(root), "__spec__", None)
    if spec is None:
        return False
    if spec.origin in {"built-in", "frozen"}:
        return True
    places = list(spec.submodule_search_locations or ()) or [spec.origin or ""]
    return all(_is_install_path(place) for place in places)


def find_origin(root: str) -> Origin | None:
    """Find the source of a top-level module of the user, without importing anything.

    Parameters
    ----------
    root
        A top-level name; it need not be loaded.

    Returns
    -------
    Origin or None
        ``None`` where it is not the user's own, where nothing of this name can be imported, or
        where the loaded module is not what an import of its name would give again (it was made by
        a program, or loaded by a path under another name). The import system's answer counts
        first, then the place from which the loaded module came: it may have left ``sys.path``.

    Raises
    ------
    Exception
        Whatever a finder in ``sys.meta_path`` raises: an import would raise it, too.
    """
    loaded = sys.modules.get(root)
    for spec in (_find_spec(root), getattr(loaded, "__spec__", None)):
        origin = _origin_of(root, spec)
        if origin is not None and (loaded is None or origin.holds(root, loaded)):
            return origin
    return None


def _find_spec(root: str) -> ModuleSpec | None:
    # importlib.util.find_spec would answer from sys.modules, and so not say what a worker finds.
    for finder in list(sys.meta_path):
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find(root, None, None) if find is not None else None
        if spec is not None:
            return spec
    return None


def _origin_of(root: str, spec: ModuleSpec | None) -> Origin | None:
    if spec is None:
        return None
    if spec.submodule_search_locations is not None:
        folders = tuple(
            Path(folder).absolute()
            for folder in spec.submodule_search_locations
            if Path(folder).is_dir() and not _is_install_path(folder)
        )
        return Origin(root, folders=folders) if folders else None
    if spec.origin is None or _is_install_path(spec.origin):
        return None
    file = Path(spec.origin)
    if not file.is_file() or file.name.partition(".")[0] != root:
        return None
    return Origin(root, file=file.absolute())


def _is_install_path(path: str) -> bool:
    if _INSTALL_FOLDERS.intersection(Path(path).parts):
        return True
    real = Path(path).resolve()
    return any(real.is_relative_to(folder) for folder in _install_folders())


@cache
def _install_folders() -> frozenset[Path]:
    return frozenset(Path(folder).resolve() for folder in _install_paths())


def _install_paths() -> Iterator[str]:
    paths = sysconfig.get_paths()
    yield from (paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib"))
    yield from site.getsitepackages()
    yield site.getusersitepackages()


def _same_path(first: object, second: Path) -> bool:
    return isinstance(first, str) and Path(first).resolve() == second.resolve()


def _parts_below(place: str, folder: Path) -> list[str] | None:
    """Give the module path of a file or folder inside a package folder, or None if outside."""
    for path, top in (
        (Path(place).absolute(), folder),
        (Path(place).resolve(), folder.resolve()),
    ):
        if path.is_relative_to(top):
            parts = list(path.relative_to(top).parts)
            if parts:
                stem = parts.pop().partition(".")[0]
                parts += [] if stem == "__init__" else [stem]
            return parts
    return None
