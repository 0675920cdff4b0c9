"""How long a worker's tasks take, and so how many it claims at a time."""

from __future__ import annotations

STALE_SECONDS = 0.1
"""How long a worker may be silent, at least, before idle ones take what it has not begun."""

_PORTION_SECONDS = 0.005
_MOST = 128
_SLOW_SECONDS = 0.002
_AHEAD_SECONDS = 0.02
_SURPRISE = 4.0
_WEIGHT = 0.25
# A round trip is to take an eighth of the time at most, unless it takes very long.
_ROUND_TRIPS = 8
_STALE_ROUND_TRIPS = 4


class Pace:
    """A running mean of durations in which one long task among many short ones weighs little.

    To take a task for shorter than it is costs little: what was claimed behind it is given back.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._known = False
        self._round_trip = 0.0

    def add(self, seconds: float) -> None:
        """Count the duration of a task."""
        if not self._known:
            self._seconds, self._known = seconds, True
            return
        seconds = min(seconds, _SURPRISE * self._seconds + _SLOW_SECONDS)
        self._seconds += _WEIGHT * (seconds - self._seconds)

    def add_round_trip(self, seconds: float) -> None:
        """Count how long the server took to answer: where it is slow, it is asked less often.

        One long time, as where the network stood still for once, counts for little.
        """
        seconds = min(seconds, _SURPRISE * self._round_trip + _SLOW_SECONDS)
        self._round_trip += _WEIGHT * (seconds - self._round_trip)

    @property
    def patience(self) -> float:
        """Seconds that are to pass between two requests while there is work."""
        return min(_ROUND_TRIPS * self._round_trip, 0.4 * self.stale)

    @property
    def stale(self) -> float:
        """Seconds of silence after which idle workers take what another holds and has not begun.

        All workers are about as far from the server, so they need not tell each other.
        """
        return max(STALE_SECONDS, _STALE_ROUND_TRIPS * self._round_trip)

    @property
    def seconds(self) -> float:
        """What a task takes; 0 where nothing is known."""
        return max(self._seconds, 1e-6) if self._known else 0.0

    @property
    def portion(self) -> int:
        """Tasks to claim at a time: some milliseconds of work, one where nothing is known."""
        if not self._known:
            return 1
        seconds = max(_PORTION_SECONDS, self.patience)
        return max(1, min(_MOST, int(seconds / max(self._seconds, 1e-6))))

    @property
    def ahead(self) -> int:
        """Tasks to claim while one runs: none where a round trip is nothing beside a task."""
        most = max(_AHEAD_SECONDS, self.patience)
        return self.portion if self._known and self._seconds <= most else 0

    @property
    def is_slow(self) -> bool:
        """Whether a task takes so long that the helper is worth waking for it."""
        return self._known and self._seconds >= _SLOW_SECONDS

    @property
    def limit(self) -> float:
        """Seconds after which a task that runs holds up what waits behind it."""
        return max(_AHEAD_SECONDS, 2 * self._seconds, self.patience)
