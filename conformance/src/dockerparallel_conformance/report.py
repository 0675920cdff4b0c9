"""What became of each promise, as a table."""

from __future__ import annotations

from dataclasses import dataclass, field

from dockerparallel_conformance.promises import order_of

_TITLE_WIDTH = 60
_HEADINGS = ("promise", "what", "claimed", "outcome", "reason")


@dataclass(frozen=True)
class Outcome:
    """What became of one promise.

    Parameters
    ----------
    number, title
        The promise.
    claimed
        Name of the capability that was claimed, ``"not <name>"``, or ``"always"`` where every
        extension is bound.
    verdict
        ``"passed"``, ``"failed"``, ``"skipped"``, or pytest's ``"xfailed"`` and ``"xpassed"``.
    reason
        Why it failed or was skipped, or a note on how it was checked; may be empty.
    """

    number: str
    title: str
    claimed: str
    verdict: str
    reason: str = ""

    def row(self) -> str:
        """Return the line of the table; only the first line of the reason."""
        title = self.title
        if len(title) > _TITLE_WIDTH:
            title = f"{title[: _TITLE_WIDTH - 3]}..."
        return _line(self.number, title, self.claimed, self.verdict, self.reason.partition("\n")[0])


@dataclass
class ConformanceReport:
    """The outcomes of one extension pair, in the order of the checks.

    Parameters
    ----------
    pair
        The pair under test, for people.
    """

    pair: str
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failed(self) -> list[Outcome]:
        """The promises that are not kept."""
        return [outcome for outcome in self.outcomes if outcome.verdict == "failed"]

    def sorted(self) -> ConformanceReport:
        """Return the same report in the order of a cluster's life."""
        ordered = sorted(self.outcomes, key=lambda outcome: order_of(outcome.number))
        return ConformanceReport(self.pair, ordered)

    def heading(self) -> str:
        """Return the first two lines of the table."""
        return f"{self.pair}\n{_line(*_HEADINGS)}"

    def summary(self) -> str:
        """Return the last line of the table: how many passed, failed and were skipped."""
        counts: dict[str, int] = {"passed": 0, "failed": 0, "skipped": 0}
        for outcome in self.outcomes:
            counts[outcome.verdict] = counts.get(outcome.verdict, 0) + 1
        return ", ".join(f"{number} {verdict}" for verdict, number in counts.items())

    def table(self) -> str:
        """Return the whole table."""
        rows = [outcome.row() for outcome in self.outcomes]
        return "\n".join([self.heading(), *rows, self.summary()])


def _line(number: str, title: str, claimed: str, verdict: str, reason: str) -> str:
    return f"{number:<7}  {title:<{_TITLE_WIDTH}}  {claimed:<21}  {verdict:<7}  {reason}".rstrip()
