"""The large parts of tasks that a worker has received, so that each comes once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from dockerparallel_redis_queue_container.errors import CodeShippingError
from dockerparallel_redis_queue_container.large_parts import CHANGEABLE, WHOLE

MOST_BYTES = 256 * 1024 * 1024
"""How much a worker keeps; what one task needs is kept whatever its size."""

Value = bytes | bytearray


class BlobCache:
    """Gives the large parts of tasks by their names. For one thread.

    Parameters
    ----------
    get_blob
        Gets a blob from the server, however long that takes; ``None`` where the server does not
        have it.
    """

    def __init__(self, get_blob: Callable[[str], bytes | None]) -> None:
        self._get_blob = get_blob
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def part(self, name: str) -> Value:
        """Return a part. What a task may change is a copy of its own.

        Raises
        ------
        CodeShippingError
            The server does not have it any more.
        """
        if name.startswith(WHOLE):
            # The pickle of one task: no other task has the same.
            return self._fetch(name)
        kept = self._kept.get(name)
        if kept is None:
            kept = self._fetch(name)
            self._keep(name, kept)
        else:
            self._kept.move_to_end(name)
        return bytearray(kept) if name.startswith(CHANGEABLE) else kept

    def _keep(self, name: str, value: bytes) -> None:
        self._size += len(value)
        while self._kept and self._size > MOST_BYTES:
            _, old = self._kept.popitem(last=False)
            self._size -= len(old)
        self._kept[name] = value

    def _fetch(self, name: str) -> bytes:
        value = self._get_blob(name)
        if value is not None:
            return value
        raise CodeShippingError(
            f"The server no longer has a part of this task ({name[:12]}), perhaps because it was "
            "restarted, or because the task was given to another worker meanwhile. Submit the "
            "task again."
        )
