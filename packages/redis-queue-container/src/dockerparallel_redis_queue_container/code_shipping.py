"""Sends the user's own modules to the workers, the client's side.

For each pickle a `Shipment` gathers which modules the pickle refers to. A module that is the
user's own is sent as a bundle of its source, with every other module of the user that the bundle
imports. One that cannot be imported again by its name is pickled by value instead.
"""

from __future__ import annotations

import importlib
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import ModuleType

import cloudpickle

from dockerparallel_redis_queue_container.errors import CodeShippingError
from dockerparallel_redis_queue_container.module_origins import (
    find_origin,
    hides_standard_library,
    is_fixed,
    is_installed,
)
from dockerparallel_redis_queue_container.source_bundle import Snapshot, read_snapshot

_READ_ATTEMPTS = 5
# While tasks are submitted in a row, looking at files takes at most a twentieth of the time.
_SHORTEST_TRUST = 0.02
_LONGEST_TRUST = 1.0
_TRUST = 20

# Modules that we told cloudpickle to pickle by value; its register is one for the whole process.
_by_value: set[str] = set()


class CodeShipper:
    """What is known of the user's modules on this client, and which bundles were sent.

    Thread-safe: one lock covers the reading of files and the sending, so that no task can overtake
    the code that it needs. It is not held while user code is pickled.

    Parameters
    ----------
    put_code
        Called with the digest and the zip archive of each bundle that was not sent through this
        object before. It may block; what it raises reaches the caller, and the bundle is then
        sent again next time.
    """

    def __init__(self, put_code: Callable[[str, bytes], None]) -> None:
        self._put_code = put_code
        self._sent: set[str] = set()
        self._snapshots: dict[str, Snapshot] = {}
        self._installed: set[str] = set()
        self._placed: dict[str, tuple[weakref.ref[ModuleType], bool]] = {}
        # Root to the digests of all that it needs, and until when they need not be looked at.
        self._collected: dict[str, tuple[float, dict[str, str]]] = {}
        self._search_state: tuple[object, ...] = ()
        self._lock = threading.RLock()

    def shipment(self, *, in_a_row: bool = False) -> Shipment:
        """Start gathering the modules of one pickle; see :meth:`collect` for ``in_a_row``."""
        search_state = (*sys.path, *map(id, sys.meta_path))
        with self._lock:
            if search_state != self._search_state:
                self._search_state = search_state
                self._snapshots.clear()
                self._installed.clear()
                self._placed.clear()
                self._collected.clear()
        return Shipment(self, in_a_row=in_a_row)

    def is_shippable(self, name: str) -> bool:
        """Tell whether a loaded module is the user's own and can be sent; else arrange for it.

        A module of the user that cannot be sent is registered with cloudpickle to be pickled by
        value, and taken from that register when it can be sent again.
        """
        module = sys.modules.get(name)
        if not isinstance(module, ModuleType):
            return False
        with self._lock:
            placed = self._placed.get(name)
            if placed is None or placed[0]() is not module:
                placed = (weakref.ref(module), self._place(name, module))
                self._placed[name] = placed
            return placed[1]

    def _place(self, name: str, module: ModuleType) -> bool:
        root = name.partition(".")[0]
        if root == "__main__":
            return False  # cloudpickle pickles it by value by itself.
        hides = hides_standard_library(root)
        if is_fixed(root) and not hides:
            return False
        origin = None if hides else find_origin(root)
        if origin is not None and origin.holds(name, module):
            if name in _by_value:
                _by_value.discard(name)
                if name in cloudpickle.list_registry_pickle_by_value():
                    cloudpickle.unregister_pickle_by_value(module)
            return True
        if name == module.__name__ and (hides or origin is not None or not is_installed(root)):
            cloudpickle.register_pickle_by_value(module)
            _by_value.add(name)
        return False

    def collect(self, root: str, digests: dict[str, str], *, in_a_row: bool = False) -> None:
        """Add the bundle of a top-level module, and those it needs, to the digests of a pickle.

        Nothing is added where the module is not the user's own.

        Parameters
        ----------
        root
            A top-level name; it need not be loaded.
        digests
            Top-level name to digest; those that are in it already are not looked at again.
        in_a_row
            Whether nobody can have edited a file since the last call and expect it to count: what
            was looked at a moment ago is then not looked at again.

        Raises
        ------
        CodeShippingError
            A module is too large, or its files cannot be read.
        """
        began = time.monotonic()
        with self._lock:
            trusted_until, known = self._collected.get(root, (0.0, {}))
            if in_a_row and began < trusted_until:
                digests.update(known)
                return
            self._collected.pop(root, None)
            settled, whole = True, not digests
            wanted = [root]
            while wanted:
                name = wanted.pop()
                if name in digests or name in self._installed or is_fixed(name):
                    continue
                snapshot = self._snapshot(name)
                if snapshot is not None:
                    digests[name] = snapshot.digest
                    settled = settled and snapshot.settled
                    wanted.extend(snapshot.imports)
                    self._send(snapshot)
                elif is_installed(name):
                    # One that is nowhere is looked for again each time: it may be written yet.
                    self._installed.add(name)
            if whole and settled:
                now = time.monotonic()
                trust = min(max(_TRUST * (now - began), _SHORTEST_TRUST), _LONGEST_TRUST)
                self._collected[root] = (now + trust, dict(digests))

    def _snapshot(self, root: str) -> Snapshot | None:
        known = self._snapshots.get(root)
        if known is not None:
            if known.is_current():
                return known
            # Others that need it are as outdated as what the import system remembers of its folder.
            self._collected.clear()
            importlib.invalidate_caches()
        problem: OSError | None = None
        for _ in range(_READ_ATTEMPTS):
            origin = find_origin(root)
            if origin is None:
                self._snapshots.pop(root, None)
                return None
            try:
                snapshot = read_snapshot(origin)
            except FileNotFoundError as error:
                problem = error  # A file was renamed while the folder was read: look again.
                continue
            except OSError as error:
                problem = error
                break
            self._snapshots[root] = snapshot
            return snapshot
        raise CodeShippingError(
            f"The module {root!r} cannot be sent to the workers, because its files cannot be read: "
            f"{problem}."
        ) from problem

    def _send(self, snapshot: Snapshot) -> None:
        if snapshot.digest not in self._sent:
            self._put_code(snapshot.digest, snapshot.zipped())
            self._sent.add(snapshot.digest)
        snapshot.files.clear()


class Shipment:
    """The modules that one pickle refers to.

    Used by one thread, while it pickles.

    Attributes
    ----------
    digests
        Each top-level module that is sent for this pickle, with the digest of its bundle.
    """

    def __init__(self, shipper: CodeShipper, *, in_a_row: bool = False) -> None:
        self.digests: dict[str, str] = {}
        self._in_a_row = in_a_row
        self._shipper = shipper
        self._seen: dict[str, bool] = {}

    def prepare(self, name: object) -> bool:
        """Get ready for an object of this module, before it is pickled.

        Parameters
        ----------
        name
            The ``__module__`` of the object.

        Returns
        -------
        bool
            Whether the module is sent where the object turns out to be pickled by reference.
        """
        if not isinstance(name, str):
            return False
        known = self._seen.get(name)
        if known is None:
            known = self._seen[name] = self._shipper.is_shippable(name)
        return known

    def add(self, root: str) -> None:
        """Send a top-level module with this pickle, if it is the user's own."""
        if root not in self.digests:
            self._shipper.collect(root, self.digests, in_a_row=self._in_a_row)
