"""Other Python sessions, for the tests of what happens when one ends."""

from __future__ import annotations

import subprocess
import sys

SECONDS = 90


def session(script: str) -> subprocess.Popen[str]:
    """Start another Python session, where warnings are errors."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_session(script: str) -> str:
    """Run another Python session to its end and return what it printed; it must succeed."""
    with session(script) as process:
        output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert not errors, errors
    return output
