"""Which whole containers to kill when fewer workers are wanted.

A container holds a number of workers and goes with all of them. So the task is a subset-sum: the
counts of the chosen containers shall add up to as many workers as possible, and not to more than
are to go. Counts mostly repeat, hence containers are grouped by count, and a set of reachable
sums is one big integer with bit ``s`` set where the sum ``s`` can be reached. Adding a container
of ``c`` workers is then ``sums | sums << c``, and ``m`` equal ones take ``log2(m)`` such steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Container(NamedTuple):
    """A container that may be killed, as the selection sees it."""

    handle: str
    workers: int
    initializing: bool


class _Group(NamedTuple):
    """Containers with the same number of workers, those to kill first in front."""

    workers: int
    handles: Sequence[str]


def choose(containers: Iterable[Container], number: int) -> list[str]:
    """Return the handles of the containers to kill.

    Exact: no other choice ends more workers without exceeding ``number``. Among the choices that
    end equally many, one with the most initializing workers is taken; among containers of one
    count and state, the newest go first. Pure and thread-safe. Time grows with the number of
    different counts and with ``number``; memory does not exceed a few integers of ``number`` bits.

    Parameters
    ----------
    containers
        All that live, the oldest first; each with at least one worker and a unique handle.
    number
        How many workers shall go, at least 0.
    """
    newest_first = list(containers)[::-1]
    initializing_ones = [item for item in newest_first if item.initializing]
    running_ones = [item for item in newest_first if not item.initializing]
    simple = _first_fit(initializing_ones, running_ones, number)
    if simple is not None:
        return simple
    initializing, running = _grouped(initializing_ones), _grouped(running_ones)
    total = _reachable([*initializing, *running], number).bit_length() - 1
    return _pick(initializing, running, total)


def _first_fit(
    initializing: Sequence[Container], running: Sequence[Container], number: int
) -> list[str] | None:
    """Take what fits, one after the other; ``None`` unless that is as good as can be.

    It is where the sum is met and no more initializing workers could be among the chosen. That is
    nearly always so, and costs nothing however much the counts differ.
    """
    chosen, left = [], number
    for container in initializing:
        if container.workers <= left:
            chosen.append(container.handle)
            left -= container.workers
    if left and len(chosen) < len(initializing):
        return None
    for container in running:
        if container.workers <= left:
            chosen.append(container.handle)
            left -= container.workers
    return None if left else chosen


def _grouped(containers: Iterable[Container]) -> list[_Group]:
    handles: dict[int, list[str]] = {}
    for container in containers:
        handles.setdefault(container.workers, []).append(container.handle)
    return [_Group(workers, group) for workers, group in handles.items()]


def _reachable(groups: Sequence[_Group], limit: int) -> int:
    """Return the sums up to ``limit`` that containers of ``groups`` add up to, as bits."""
    mask = (1 << (limit + 1)) - 1
    sums = 1
    for workers, handles in groups:
        left, step = min(len(handles), limit // workers), 1
        while left:
            # 1, 2, 4, ... and a rest: any number up to ``left`` is a sum of some of these.
            step = min(step, left)
            sums |= (sums << (step * workers)) & mask
            left -= step
            step *= 2
    return sums


def _pick(first: Sequence[_Group], second: Sequence[_Group], total: int) -> list[str]:
    """Return containers that add up to exactly ``total``, as much of it as can be from ``first``.

    The way back from a sum to its summands needs no table: each half's part of the sum is found
    from the two halves' reachable sums, and each half is halved again.
    """
    ours, theirs = _reachable(first, total), _reachable(second, total)
    mirrored = int(format(theirs, f"0{total + 1}b")[::-1], 2)
    share = (ours & mirrored).bit_length() - 1
    return [*_split(first, share), *_split(second, total - share)]


def _split(groups: Sequence[_Group], total: int) -> list[str]:
    if not total:
        return []
    if len(groups) == 1:
        return list(groups[0].handles[: total // groups[0].workers])
    middle = len(groups) // 2
    return _pick(groups[:middle], groups[middle:], total)
