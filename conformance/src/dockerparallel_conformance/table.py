"""The table of promises at the end of a pytest run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from dockerparallel_conformance.promises import Promise

PROPERTY = "dockerparallel-conformance"
"""Name of the property of a test report that tells which promise was checked, and of what."""


def guarded_by(item: pytest.Item) -> Promise | None:
    """Return the promise that a test guards, also where it overrides the check."""
    cls = getattr(item, "cls", None)
    name = getattr(item, "originalname", item.name)
    # Cheap for tests that have nothing to do with this suite: no class, no import.
    if cls is None or not any(base.__module__.startswith(__package__) for base in cls.__mro__):
        return None
    from dockerparallel_conformance.promises import promises_of  # noqa: PLC0415 - see above

    return {promise.check: promise for promise in promises_of(cls)}.get(name)


class PromiseTable:
    """Collects what became of each promise; also of those that ran in processes of xdist."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._verdicts: dict[str, tuple[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what a report tells."""
        row = dict(report.user_properties).get(PROPERTY)
        if not isinstance(row, dict):
            return
        self._rows[report.nodeid] = row
        verdict = _verdict(report)
        if verdict is not None and self._verdicts.get(report.nodeid, ("", ""))[0] != "failed":
            self._verdicts[report.nodeid] = verdict

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Write a table for each extension pair."""
        if not self._rows:
            return
        from dockerparallel_conformance.report import (  # noqa: PLC0415 - seldom needed
            ConformanceReport,
            Outcome,
        )

        reports: dict[str, ConformanceReport] = {}
        for test, row in self._rows.items():
            verdict, reason = self._verdicts.get(test, ("passed", ""))
            reason = reason or "; ".join(row["notes"])
            report = reports.setdefault(row["pair"], ConformanceReport(row["pair"]))
            report.outcomes.append(
                Outcome(row["number"], row["title"], row["claimed"], verdict, reason)
            )
        terminalreporter.section("promises of DockerParallel's extensions")
        for report in reports.values():
            terminalreporter.write_line(report.sorted().table())


def _verdict(report: pytest.TestReport) -> tuple[str, str] | None:
    expected = getattr(report, "wasxfail", None)
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        message = str(getattr(crash, "message", report.longreprtext))
        # The message begins with the name of the error's class, and the number of the promise.
        return "failed", message.partition(": ")[2].partition(": ")[2] or message
    if expected is not None and report.when == "call":
        return ("xfailed" if report.skipped else "xpassed"), str(expected)
    if report.skipped and isinstance(report.longrepr, tuple):
        return "skipped", report.longrepr[2].removeprefix("Skipped: ")
    return None
