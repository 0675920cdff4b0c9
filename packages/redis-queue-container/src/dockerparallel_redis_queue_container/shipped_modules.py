"""Makes shipped modules importable on a worker, and keeps those of different clients apart."""

from __future__ import annotations

import importlib
import linecache
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, DistributionFinder, MetadataPathFinder
from pathlib import Path
from types import ModuleType

MAX_PARKED_CLIENTS = 8
"""How many clients' modules a worker keeps loaded, besides those of the client it works for."""


@dataclass
class _Client:
    """One client's modules: where they are, and the loaded ones that are set aside meanwhile."""

    places: dict[str, Path] = field(default_factory=dict)
    parked: dict[str, ModuleType] = field(default_factory=dict)
    displaced: dict[str, ModuleType] = field(default_factory=dict)


class ShippedModules(DistributionFinder):
    """The finder, at the front of ``sys.meta_path``, for what the client has shipped.

    At any time it shows the modules of one client, at one version each. They win over installed
    modules of the same name. ``sys.path`` is not changed. For a process that runs one task at a
    time: not thread-safe.
    """

    def __init__(self) -> None:
        self._name = ""
        self._client = _Client()
        self._others: dict[str, _Client] = {}

    def show(self, client: str, places: dict[str, Path]) -> None:
        """Make the modules of a task importable, just before it is unpickled.

        Where one of them has another place than it had for this client before, all of this
        client's modules are forgotten and will be imported anew, since they may refer to each
        other. Modules of another client are set aside, and come back as they were with that
        client's next task.

        Parameters
        ----------
        client
            Names the client's process.
        places
            Top-level module to the folder that holds it: one folder for each version of a module.
        """
        if sys.meta_path[:1] != [self]:
            self.withdraw()
            sys.meta_path.insert(0, self)
        if client != self._name:
            self._switch_to(client)
        if any(self._client.places.get(root, place) != place for root, place in places.items()):
            self._forget()
        for root in places.keys() - self._client.places.keys():
            self._client.displaced |= _take([root])
        self._client.places |= places
        linecache.checkcache()

    def shows(self, root: str) -> bool:
        """Tell whether a top-level module is among those shown now."""
        return root in self._client.places

    def withdraw(self) -> None:
        """Take the finder out of ``sys.meta_path``, if it is there."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module among those shown; called by the import system."""
        root = fullname.partition(".")[0]
        place = self._client.places.get(root)
        if place is None:
            return None
        if fullname != root:
            return PathFinder.find_spec(fullname, path, target)
        spec = PathFinder.find_spec(root, [str(place)], target)
        if spec is None or spec.loader is not None or spec.submodule_search_locations is None:
            return spec
        return self._namespace_spec(root, list(spec.submodule_search_locations))

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterable[Distribution]:
        """Find the metadata that came with the modules shown; called by importlib.metadata."""
        wanted = context or DistributionFinder.Context()
        places = dict.fromkeys(str(place) for place in self._client.places.values())
        return MetadataPathFinder.find_distributions(
            DistributionFinder.Context(name=wanted.name, path=list(places))
        )

    @staticmethod
    def _namespace_spec(root: str, shipped: list[str]) -> ModuleSpec:
        """Join the shipped portion of a namespace package with those installed on the worker."""
        installed = PathFinder.find_spec(root)
        portions = shipped
        if installed is not None and installed.loader is None:
            portions = [*shipped, *(installed.submodule_search_locations or ())]
        spec = ModuleSpec(root, None, is_package=True)
        # A plain list: the import system's own list would be computed anew from sys.path.
        spec.submodule_search_locations = portions
        return spec

    def _switch_to(self, client: str) -> None:
        leaving = self._client
        leaving.parked = _take(leaving.places)
        sys.modules.update(leaving.displaced)
        leaving.displaced = {}
        if self._name:
            self._others[self._name] = leaving
        coming = self._others.pop(client, None) or _Client()
        while len(self._others) > MAX_PARKED_CLIENTS:
            del self._others[next(iter(self._others))]
        coming.displaced = _take(coming.places)
        sys.modules.update(coming.parked)
        coming.parked = {}
        self._client, self._name = coming, client

    def _forget(self) -> None:
        _take(self._client.places)
        sys.modules.update(self._client.displaced)
        self._client = _Client()
        importlib.invalidate_caches()


def _take(roots: Iterable[str]) -> dict[str, ModuleType]:
    """Remove top-level modules, and all below them, from ``sys.modules``."""
    wanted = frozenset(roots)
    names = [name for name in list(sys.modules) if name.partition(".")[0] in wanted]
    return {name: sys.modules.pop(name) for name in names}
