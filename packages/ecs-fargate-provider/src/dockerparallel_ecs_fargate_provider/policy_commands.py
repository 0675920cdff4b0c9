"""The command that prints the IAM policies to ask for, for exactly one configuration."""

from __future__ import annotations

import argparse
import json
from typing import Any

from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.policy import policy_document


def add_policy_command(commands: Any) -> None:
    """Add ``policy`` to the commands of the program."""
    policy = commands.add_parser(
        "policy",
        help="print the IAM policy that the session needs; give the options of your provider",
    )
    policy.add_argument("--account", help="number of the account (default: ask AWS)")
    policy.add_argument("--partition", default="aws", help="of AWS (default: %(default)s)")
    for name in ("vpc-id", "security-group-id", "task-role-arn", "execution-role-arn", "log-group"):
        policy.add_argument(f"--{name}", help="where one is given to the provider")
    policy.add_argument("--subnet-ids", nargs="+", help="where some are given to the provider")
    policy.add_argument("--kms-key-id", help="where one is given to the provider")
    policy.add_argument(
        "--private", dest="assign_public_ip", action="store_false", help="no public addresses"
    )
    policy.add_argument("--spot", type=float, default=0.0, help="share of workers on Spot")
    policy.set_defaults(run=_print_policy)


def _print_policy(aws: AWS, options: Options, given: argparse.Namespace) -> int:
    account = given.account or aws.identity.account
    document = policy_document(
        options, account=account, region=aws.region, partition=given.partition
    )
    print(json.dumps(document, indent=2))  # noqa: T201 - what the command is for
    return 0
