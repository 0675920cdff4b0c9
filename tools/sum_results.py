"""Add up the JUnit files of several pytest runs: ``python sum_results.py FOLDER``.

Run by ``.ci/run`` as its last step. Prints one line, ``N passed, N failed, N skipped``. An error
in a fixture counts as a failure; a test that is expected to fail and does counts as skipped.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def counts(folder: Path) -> tuple[int, int, int]:
    """Return how many tests passed, failed and were skipped, over all files of `folder`."""
    passed = failed = skipped = 0
    for file in sorted(folder.glob("*.xml")):
        # The files were written by our own pytest a moment ago.
        for case in ET.parse(file).getroot().iter("testcase"):  # noqa: S314
            outcomes = {child.tag for child in case}
            if outcomes & {"failure", "error"}:
                failed += 1
            elif "skipped" in outcomes:
                skipped += 1
            else:
                passed += 1
    return passed, failed, skipped


def main(folder: Path) -> int:
    """Print the sum; return 1 where a test failed or none passed."""
    passed, failed, skipped = counts(folder)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return int(failed > 0 or passed == 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
