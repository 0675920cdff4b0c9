"""``docs/conformance.md`` is the promises as the checks state them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_the_page_is_what_the_checks_say() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "dockerparallel_conformance"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    assert PAGE.read_text() == made, (
        "run: python -m dockerparallel_conformance > docs/conformance.md"
    )
