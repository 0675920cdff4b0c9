"""Removing several things of which one may fail, and telling about each."""

from __future__ import annotations

from collections.abc import Callable

from dockerparallel_ecs_fargate_provider.errors import AWSError
from dockerparallel_ecs_fargate_provider.settling import is_missing


class Removal:
    """Tries everything, remembers what failed, and raises it at the end.

    Parameters
    ----------
    waits
        Whether an error only says that something has still to end: it goes to the caller at once,
        unless something else has failed before, which no waiting mends.
    """

    def __init__(self, waits: Callable[[AWSError], bool] = lambda _error: False) -> None:
        self._waits = waits
        self._failed: list[tuple[str, AWSError]] = []

    def attempt(self, what: str, remove: Callable[[], object]) -> None:
        """Remove one thing, of which ``what`` tells in messages; gone already is removed, too.

        Raises
        ------
        AWSError
            Something has to end first.
        """
        try:
            remove()
        except AWSError as error:
            # Not found is what was asked for; a failure is raised by `finish`.
            if is_missing(error):
                return
            if self._waits(error) and not self._failed:
                raise
            self._failed.append((what, error))

    def finish(self) -> None:
        """Raise the first failure, with a note for each, if there was one.

        Raises
        ------
        AWSError
            Something is not removed.
        """
        if not self._failed:
            return
        _, first = self._failed[0]
        for what, error in self._failed:
            said = "" if error is first else f": {error}"
            first.add_note(f"Not removed: {what}{said}")
        raise first
