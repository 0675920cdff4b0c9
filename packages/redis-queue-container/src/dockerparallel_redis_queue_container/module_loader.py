"""Turns the bytes of a task back into the task, on a worker."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from dockerparallel_redis_queue_container.blob_cache import BlobCache
from dockerparallel_redis_queue_container.bundle_store import BundleStore
from dockerparallel_redis_queue_container.errors import (
    CodeShippingError,
    ModuleNotOnWorkerError,
    PythonVersionError,
)
from dockerparallel_redis_queue_container.large_parts import WHOLE
from dockerparallel_redis_queue_container.module_origins import is_fixed
from dockerparallel_redis_queue_container.serialization import (
    TaskHeader,
    decode_header,
    header_bytes,
    split_blobs,
    split_known,
)
from dockerparallel_redis_queue_container.shipped_modules import ShippedModules

_MOST_FUNCTIONS = 256


class TaskLoader:
    """Unpickles tasks, after making the modules that were sent for them importable.

    Made by each worker process once. Not thread-safe: a task must have ended, and its outcome must
    be pickled, before the next one is loaded, since loading may exchange modules.

    Parameters
    ----------
    get_code
        Gives the bundle of a digest, or ``None`` where the server does not have it. It may block.
    folder
        Where bundles are unpacked, each in a folder named by its digest. Several workers may share
        it. Who makes the workers removes it after them.
    get_blob
        Gives a large part by its name, in the same way; without it, tasks with such parts fail.
    """

    def __init__(
        self,
        get_code: Callable[[str], bytes | None],
        folder: Path,
        get_blob: Callable[[str], bytes | None] | None = None,
    ) -> None:
        self._store = BundleStore(get_code, folder)
        self._modules = ShippedModules()
        self._last_header = b""
        self._functions: OrderedDict[bytes, Any] = OrderedDict()
        self._blobs = BlobCache(get_blob or _no_blob)

    def loads_call(self, blob: bytes) -> Any:
        """Unpickle a call, in any of the forms that `TaskPickler.pack` gives; see `loads`.

        Returns
        -------
        tuple
            The function, the tuple of its arguments, the dictionary of those with names.
        """
        known = split_known(blob)
        if known is not None:
            arguments, function = known
            return self._function(function), pickle.loads(arguments), {}  # noqa: S301  # as below
        parts = split_blobs(blob)
        if parts is None:
            return self.loads(blob)
        blob, names = parts
        if names and names[-1].startswith(WHOLE):
            blob = bytes(self._blobs.part(names.pop()))
        return self.loads(blob, [self._blobs.part(name) for name in names])

    def _function(self, blob: bytes) -> Any:
        function = self._functions.get(blob)
        if function is None:
            function = self.loads(blob)
            if len(self._functions) >= _MOST_FUNCTIONS:
                self._functions.popitem(last=False)
            self._functions[blob] = function
        elif (encoded := header_bytes(blob)) != self._last_header:
            self._show(encoded)
        return function

    def loads(self, blob: bytes, buffers: Iterable[bytes | bytearray] = ()) -> Any:
        """Unpickle a task.

        The minor version of Python is compared first. Then the modules of the task's client are
        made importable, in the versions that the task was made with: a module of which the worker
        has loaded another version is imported anew. Modules of the standard library, and those
        that the worker itself is made of, cannot be replaced.

        Parameters
        ----------
        blob
            What `TaskPickler.dumps` gave.
        buffers
            The large parts that were cut out of the pickle, in their order.

        Returns
        -------
        object
            The task.

        Raises
        ------
        PythonVersionError
            The client runs another minor version of Python.
        CodeShippingError
            The bytes are no task, or a bundle cannot be had, is damaged or was refused.
        ModuleNotOnWorkerError
            The task needs a module that is installed on the client only.
        Exception
            Whatever importing a module, or unpickling an object, raises.
        """
        encoded = header_bytes(blob)
        if encoded != self._last_header:
            self._show(encoded)
        try:
            return pickle.loads(blob, buffers=buffers)  # noqa: S301  # who has the queue's password may run code
        except ModuleNotFoundError as error:
            name = error.name or ""
            root = name.partition(".")[0]
            is_module = not isinstance(error, PackageNotFoundError)
            if not is_module or not root or is_fixed(root) or self._modules.shows(root):
                raise
            raise ModuleNotOnWorkerError(missing_module_message(name), name=name) from error

    def _show(self, encoded: bytes) -> None:
        self._last_header = b""
        self._prepare(decode_header(encoded))
        self._last_header = encoded

    def _prepare(self, header: TaskHeader) -> None:
        ours = (sys.version_info[0], sys.version_info[1])
        if header.python != ours:
            raise PythonVersionError(
                "This worker runs Python {}.{}, and the client that sent the task runs Python "
                "{}.{}. They cannot exchange tasks: use an image of the workers with the client's "
                "version, or run the client with the workers' version.".format(
                    *ours, *header.python
                )
            )
        for root in header.modules:
            if is_fixed(root) or not root.isidentifier():
                raise CodeShippingError(
                    f"The task came with a module named {root!r}, which a worker cannot replace: "
                    "rename the module."
                )
        places = {root: self._store.path(digest) for root, digest in header.modules.items()}
        self._modules.show(header.client, places)


def _no_blob(_name: str) -> None:
    return None


def missing_module_message(name: str) -> str:
    """Say what to do about a module that a worker cannot import."""
    root = name.partition(".")[0]
    return (
        f"The worker has no module named {name!r}. Packages that are installed on the client are "
        "not sent to the workers: call "
        f'cluster.worker_container.add_pip_packages("{root}"), with the name that pip knows the '
        "package by, before the workers start (or set the worker number to 0 and back)."
    )
