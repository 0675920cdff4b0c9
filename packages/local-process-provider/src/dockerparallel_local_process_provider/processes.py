"""Starting processes and ending them, each with all that came out of it.

Each process that is started leads a session and a process group of its own. What it starts
belongs to it too: by the group, by the session, or by the signs that it inherited.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dockerparallel import ProviderError
from dockerparallel_local_process_provider.process_table import (
    Identity,
    Sighting,
    sight,
    sight_all,
    signs_of,
)

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.1

# Of this session alone: who may be waited for, and how those ended.
_children: dict[int, Identity] = {}
_exit_codes: dict[Identity, int] = {}


def spawn(
    command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path
) -> Identity:
    """Start a program as the leader of a new session, its output appended to ``log``.

    Raises
    ------
    ProviderError
        The system could not start it; the message tells why.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise ProviderError(
            f"The program {command[0]!r} could not be started ({error}): check the command of the "
            "container, and that the program is installed on this machine."
        ) from error
    finally:
        os.close(descriptor)
    # From here on the process is watched by its id, also by other sessions: Popen shall neither
    # wait for it nor warn that it still runs when this session ends.
    process.returncode = 0
    sighting = sight(process.pid)
    # A zombie is seen, so nothing is seen only where somebody else has waited for it already.
    identity = sighting.identity if sighting else Identity(process.pid, "ended before it was seen")
    _children[process.pid] = identity
    return identity


def is_alive(identity: Identity) -> bool:
    """Tell whether this very process lives; a zombie does not, and is reaped if it is ours."""
    _reap(identity.pid)
    sighting = sight(identity.pid)
    return sighting is not None and sighting.identity == identity and not sighting.zombie


def how_it_ended(identity: Identity) -> str:
    """Say how a dead process ended, as far as this session can know."""
    # It may have become a zombie after it was last asked to be reaped, and before it was seen dead.
    _reap(identity.pid)
    code = _exit_codes.get(identity)
    if code is None:
        return "ended (its exit code is known only to the session that started it)"
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}
        return f"was killed by {names.get(-code, f'signal {-code}')}"
    return f"ended with exit code {code}"


@dataclass(frozen=True)
class Target:
    """A process to be ended with all that came out of it.

    Parameters
    ----------
    leader
        The process itself, or ``None`` where only the signs are known.
    signs
        A process with one of these signs (see :func:`signs_of`) belongs to it.
    """

    leader: Identity | None
    signs: frozenset[bytes] = frozenset()


def members_of(target: Target) -> list[int]:
    """Return the ids of the processes that live of a target."""
    return [sighting.identity.pid for sighting in _Hunt([target]).find()[0]]


def end(targets: Sequence[Target], timeout: float) -> list[bool]:
    """End processes and all that came out of them, all at the same time.

    Sends SIGTERM, waits up to ``timeout`` seconds, then sends SIGKILL and waits as long again.
    A number that was given to another process meanwhile is never signalled. Starts no thread.

    Returns
    -------
    list of bool
        For each target whether nothing of it lives; also true where nothing did before.
    """
    if not targets:
        return []
    hunt = _Hunt(targets)
    living = hunt.find()
    for number in (signal.SIGTERM, signal.SIGKILL):
        told: set[Identity] = set()
        deadline, pause = time.monotonic() + timeout, _FIRST_PAUSE
        while any(living) and time.monotonic() < deadline:
            # Each time anew: a process may have started another one before it was told.
            _tell(living, number, told)
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            living = hunt.find()
    hunt.reap()
    return [not members for members in living]


@dataclass
class _Hunt:
    """Finds what lives of some targets, again and again."""

    targets: Sequence[Target]
    _by_leader: dict[int, int] = field(default_factory=dict)
    _by_sign: dict[bytes, int] = field(default_factory=dict)
    _signs_seen: dict[Identity, set[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, target in enumerate(self.targets):
            self._by_sign.update(dict.fromkeys(target.signs, index))
            if target.leader is not None and is_alive(target.leader):
                self._by_leader[target.leader.pid] = index

    def find(self) -> list[list[Sighting]]:
        """Return for each target the processes of it that live."""
        self.reap()
        living: list[list[Sighting]] = [[] for _ in self.targets]
        used: set[int] = set()
        for sighting in sight_all():
            if sighting.zombie or sighting.identity.pid == os.getpid():
                continue
            used.update((sighting.group, sighting.session))
            index = self._owner(sighting)
            if index is not None:
                living[index].append(sighting)
        # The system gives a number anew only when no process, group or session has it any more.
        self._by_leader = {pid: index for pid, index in self._by_leader.items() if pid in used}
        return living

    def reap(self) -> None:
        """Take the exit codes of those that are children of this session."""
        for target in self.targets:
            if target.leader is not None:
                _reap(target.leader.pid)

    def _owner(self, sighting: Sighting) -> int | None:
        for number in (sighting.group, sighting.session):
            if number in self._by_leader:
                return self._by_leader[number]
        if sighting.identity not in self._signs_seen:
            self._signs_seen[sighting.identity] = signs_of(sighting.identity.pid)
        found = (self._by_sign.get(sign) for sign in self._signs_seen[sighting.identity])
        return next((index for index in found if index is not None), None)


def _tell(
    living: Iterable[Iterable[Sighting]], number: signal.Signals, told: set[Identity]
) -> None:
    """Send a signal to each process that is not in ``told`` yet."""
    for sighting in (sighting for members in living for sighting in members):
        if sighting.identity in told:
            continue
        told.add(sighting.identity)
        # It may have ended since it was seen, or run as another user, as which it lives on.
        with suppress(ProcessLookupError, PermissionError):
            os.kill(sighting.identity.pid, number)


def _reap(pid: int) -> None:
    """Take the exit code of a child of ours that has ended, so that it is no zombie."""
    if pid not in _children:
        return
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        # The program has waited for it elsewhere or ignores SIGCHLD, or this is a fork of the
        # session that started it: the code is not to be had here.
        del _children[pid]
        return
    if done:
        _exit_codes[_children.pop(pid)] = os.waitstatus_to_exitcode(status)
