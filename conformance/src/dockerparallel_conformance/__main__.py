"""Prints the promises, numbered, as the Markdown of ``docs/conformance.md``."""

from __future__ import annotations

from dockerparallel_conformance.document import promises_as_markdown

if __name__ == "__main__":
    print(promises_as_markdown(), end="")
