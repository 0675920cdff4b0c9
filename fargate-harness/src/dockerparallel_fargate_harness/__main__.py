"""The command line: serve, or run a command with a harness."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dockerparallel_fargate_harness.client import FargateHarness
from dockerparallel_fargate_harness.errors import HarnessError
from dockerparallel_fargate_harness.running import run
from dockerparallel_fargate_harness.server import Options, serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Without a command it serves, so that options alone are enough.
    if not words or words[0] not in {"serve", "run", "-h", "--help"}:
        words.insert(0, "serve")
    parsed = _parser().parse_args(words)
    try:
        return _run(parsed) if parsed.command == "run" else _serve(parsed)
    except HarnessError as error:
        print(f"fargate-harness: {error}", file=sys.stderr)
        return 1


def _serve(parsed: argparse.Namespace) -> int:
    serve(
        Options(
            port=parsed.port,
            containers=not parsed.no_containers,
            internet=parsed.internet,
            client_address=parsed.client_address,
            region=parsed.region,
            watch_stdin=parsed.watch_stdin,
        )
    )
    return 0


def _run(parsed: argparse.Namespace) -> int:
    harness = FargateHarness(
        containers=not parsed.no_containers,
        internet=parsed.internet,
        client_address=parsed.client_address,
        region=parsed.region,
    )
    return run(harness, parsed.words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dockerparallel_fargate_harness", description="ECS Fargate on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--no-containers", action="store_true", help="tasks only pass their states")
    common.add_argument(
        "--internet", action="store_true", help="containers reach what this machine reaches"
    )
    common.add_argument(
        "--client-address", default="203.0.113.7", help="the client's address on the internet"
    )
    common.add_argument("--region", default="us-east-1", help="the region whose leftovers count")
    served = commands.add_parser("serve", parents=[common], help="serve until told to stop")
    served.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 is any free one")
    served.add_argument("--watch-stdin", action="store_true", help="end when stdin is closed")
    ran = commands.add_parser("run", parents=[common], help="run a command with a harness")
    ran.add_argument("words", nargs="+", metavar="COMMAND", help="after --: the command")
    return parser


if __name__ == "__main__":
    sys.exit(main())
