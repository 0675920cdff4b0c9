"""Command line of the core: ``python -m dockerparallel extensions``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from dockerparallel._version import __version__
from dockerparallel.extensions import ExtensionInfo, installed_extensions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m dockerparallel", description="DockerParallel for Python."
    )
    parser.add_argument("--version", action="version", version=f"dockerparallel {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("extensions", help="list the installed providers and containers")
    parser.parse_args(arguments)
    print(_table(installed_extensions()))
    return 0


def _table(extensions: Sequence[ExtensionInfo]) -> str:
    if not extensions:
        return (
            "No extensions are installed. Perhaps: pip install "
            "dockerparallel-local-process-provider 'dockerparallel-redis-queue-container[embedded]'"
        )
    rows = [ExtensionInfo._fields, *extensions]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


if __name__ == "__main__":
    raise SystemExit(main())
