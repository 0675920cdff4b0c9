"""Command line of the core: ``python -m dockerparallel extensions`` and ``... new``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from dockerparallel._version import __version__
from dockerparallel.display import table
from dockerparallel.errors import DockerParallelError
from dockerparallel.extensions import ExtensionInfo, Kind, installed_extensions
from dockerparallel.scaffold import create_extension


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, or 2 where the input does not fit."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "new":
            print(_made(create_extension(options.kind, options.name, options.folder)))
        else:
            print(_table(installed_extensions()))
    except DockerParallelError as error:
        print(f"python -m dockerparallel {options.command}: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dockerparallel", description="DockerParallel for Python."
    )
    parser.add_argument("--version", action="version", version=f"dockerparallel {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("extensions", help="list the installed providers and containers")
    new = commands.add_parser(
        "new",
        help="write a package for a new provider or container",
        description="Write a complete package by copying and renaming a reference extension. "
        "It passes the conformance suite as it is.",
    )
    new.add_argument("kind", choices=get_args(Kind))
    new.add_argument("name", help="lower-case letters, digits and hyphens, such as my-cloud")
    new.add_argument(
        "--folder", type=Path, help="folder to make (./dockerparallel-NAME-KIND by default)"
    )
    return parser


def _made(folder: Path) -> str:
    return (
        f"Made {folder}. To see it pass the conformance suite (pip 25.1 or newer):\n"
        f"  cd {folder}\n"
        "  python -m pip install -e . --group test\n"
        "  python -m pytest"
    )


def _table(extensions: Sequence[ExtensionInfo]) -> str:
    if not extensions:
        return (
            "No extensions are installed. Perhaps: pip install "
            "dockerparallel-local-process-provider 'dockerparallel-redis-queue-container[embedded]'"
        )
    return table([ExtensionInfo._fields, *extensions])


if __name__ == "__main__":
    raise SystemExit(main())
