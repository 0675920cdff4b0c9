"""How long a worker's tasks take, and so how many it claims at a time."""

from __future__ import annotations

_PORTION_SECONDS = 0.005
_MOST = 128
_SLOW_SECONDS = 0.002
_AHEAD_SECONDS = 0.02
_SURPRISE = 4.0
_WEIGHT = 0.25


class Pace:
    """A running mean of durations in which one long task among many short ones weighs little.

    To take a task for shorter than it is costs little: what was claimed behind it is given back.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._known = False

    def add(self, seconds: float) -> None:
        """Count the duration of a task."""
        if not self._known:
            self._seconds, self._known = seconds, True
            return
        seconds = min(seconds, _SURPRISE * self._seconds + _SLOW_SECONDS)
        self._seconds += _WEIGHT * (seconds - self._seconds)

    @property
    def seconds(self) -> float:
        """What a task takes; 0 where nothing is known."""
        return max(self._seconds, 1e-6) if self._known else 0.0

    @property
    def portion(self) -> int:
        """Tasks to claim at a time: some milliseconds of work, one where nothing is known."""
        if not self._known:
            return 1
        return max(1, min(_MOST, int(_PORTION_SECONDS / max(self._seconds, 1e-6))))

    @property
    def ahead(self) -> int:
        """Tasks to claim while one runs: none where a round trip is nothing beside a task."""
        return self.portion if self._known and self._seconds <= _AHEAD_SECONDS else 0

    @property
    def is_slow(self) -> bool:
        """Whether a task takes so long that the helper is worth waking for it."""
        return self._known and self._seconds >= _SLOW_SECONDS

    def too_long(self, seconds: float) -> bool:
        """Tell whether a task that runs for so long holds up what waits behind it."""
        return seconds > max(_AHEAD_SECONDS, 2 * self._seconds)
