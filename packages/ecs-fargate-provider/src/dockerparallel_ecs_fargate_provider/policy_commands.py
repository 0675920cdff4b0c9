"""The command that prints the IAM policies to ask for, for exactly one configuration."""

from __future__ import annotations

import argparse
import json
from typing import Any

from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.policy import (
    execution_role_policy,
    gc_policy,
    policy_document,
    trust_policy,
)
from dockerparallel_ecs_fargate_provider.role_policies import log_group_of

_WHOSE = {
    "session": "a user's session (default)",
    "cleanup": "one that may also remove what others have made",
    "gc": "a scheduled job that ends forgotten clusters",
    "execution-role": "the role of execution_role_arn=",
    "execution-role-trust": "who may assume that role",
}


def add_policy_command(commands: Any) -> None:
    """Add ``policy`` to the commands of the program."""
    policy = commands.add_parser(
        "policy",
        help="print an IAM policy to ask for; give the options of your provider",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="what --for takes:\n"
        + "\n".join(f"  {name:22}{what}" for name, what in _WHOSE.items()),
    )
    policy.add_argument(
        "--for", dest="whose", choices=list(_WHOSE), default="session", help="whose policy"
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
    document = _document(given.whose, options, account, aws, given.partition)
    print(json.dumps(document, indent=2))  # noqa: T201 - what the command is for
    return 0


def _document(
    whose: str, options: Options, account: str, aws: AWS, partition: str
) -> dict[str, Any]:
    if whose == "execution-role-trust":
        return trust_policy(account)
    where = {"account": account, "region": aws.region, "partition": partition}
    if whose == "gc":
        return gc_policy(options, **where)
    if whose == "execution-role":
        return execution_role_policy(
            cluster_name=options.cluster_name,
            log_group=log_group_of(options),
            kms_key_id=options.kms_key_id,
            **where,
        )
    return policy_document(options, cleanup=whose == "cleanup", **where)
