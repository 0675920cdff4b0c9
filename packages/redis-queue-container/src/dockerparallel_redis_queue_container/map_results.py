"""The iterator that ``ClusterExecutor.map`` returns, and what it refuses."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from dockerparallel.errors import InvalidTypeError, InvalidValueError
from dockerparallel_redis_queue_container.futures import ClusterFuture

_T = TypeVar("_T")


def check_sizes(chunksize: object, buffersize: object) -> None:
    """Refuse sizes with which ``map`` could not work.

    Raises
    ------
    InvalidTypeError
        One is no whole number (``None`` is a size of a buffer).
    InvalidValueError
        One is less than 1.
    """
    if isinstance(chunksize, bool) or not isinstance(chunksize, int):
        raise InvalidTypeError(f"chunksize must be a whole number, not {chunksize!r}.")
    if chunksize < 1:
        raise InvalidValueError(f"chunksize must be >= 1, not {chunksize}.")
    if buffersize is None:
        return
    if not isinstance(buffersize, int):
        raise InvalidTypeError(f"buffersize must be an integer or None, not {buffersize!r}.")
    if buffersize < 1:
        raise InvalidValueError(f"buffersize must be None or > 0, that is >= 1, not {buffersize}.")


def in_order(
    futures: deque[ClusterFuture[_T]],
    deadline: float | None,
    submit_next: Callable[[], ClusterFuture[_T] | None],
    drop: Callable[[Iterable[ClusterFuture[_T]]], None],
) -> Generator[_T, None, None]:
    """Yield the results of tasks in their order, and keep no reference to what was yielded.

    Parameters
    ----------
    futures
        Those of the tasks that are submitted; used up.
    deadline
        When ``TimeoutError`` is to be raised, by ``time.monotonic``.
    submit_next
        Submits one more task, or returns ``None`` where there is none. It is asked each time a
        result is there, before that is yielded; so never more tasks are open than at first.
    drop
        Gets the futures that nobody waits for any more. It must not block: where the iterator is
        dropped, garbage collection may call it.
    """
    try:
        while futures:
            yield _next_result(futures, deadline, submit_next)
    finally:
        if futures:
            drop(tuple(futures))
            # A traceback may keep this frame.
            futures.clear()


def _next_result(
    futures: deque[ClusterFuture[_T]],
    deadline: float | None,
    submit_next: Callable[[], ClusterFuture[_T] | None],
) -> _T:
    future = futures[0]
    try:
        value = future.result(None if deadline is None else deadline - time.monotonic())
        futures.popleft()
    finally:
        # An exception would else hold its own future, by its traceback.
        del future
    following = submit_next()
    if following is not None:
        futures.append(following)
    return value


def flattened(parts: Generator[list[_T], None, None]) -> Generator[_T, None, None]:
    """Yield the items of lists, and keep no reference to what was yielded."""
    try:
        for part in parts:
            part.reverse()
            while part:
                yield part.pop()
    finally:
        parts.close()
