"""Import every module of one package, to see whether it declares all that it imports.

Run by ``nox -s matrix`` in an environment that holds the package's wheel and its declared
dependencies, before anything for the tests is installed: ``python -I import_alone.py NAME``.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys


def module_names(package: str) -> list[str]:
    """List the package and all its modules, but ``__main__``, which would run the program."""
    root = importlib.import_module(package)
    found = pkgutil.walk_packages(root.__path__, prefix=f"{package}.")
    return [package, *(module.name for module in found if not module.name.endswith(".__main__"))]


def main(package: str) -> None:
    """Import the modules of `package`; an undeclared dependency ends in its ImportError."""
    # Not pytest itself, which the conformance suite declares.
    if importlib.util.find_spec("pytest_timeout") is not None:
        sys.exit(
            "This environment already holds the tools of the tests, which could hide an undeclared "
            "dependency. "
            "Run nox without --reuse-existing-virtualenvs (-r, -R)."
        )
    names = module_names(package)
    for name in names:
        importlib.import_module(name)
    print(f"{package}: {len(names)} modules import with the declared dependencies alone")


if __name__ == "__main__":
    main(sys.argv[1])
