"""Looking at clusters on ECS, ending forgotten ones, and printing the IAM policy to ask for.

``python -m dockerparallel_ecs_fargate_provider list``, ``... servers``, ``... workers``,
``... stop NAME``, ``... stop-tasks ID ...``, ``... gc`` and ``... policy``. Credentials and region
come from boto3's usual places.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

from dockerparallel import DockerParallelError, InvalidTypeError, InvalidValueError
from dockerparallel.display import table
from dockerparallel.validation import check_job_queue_name
from dockerparallel_ecs_fargate_provider import tags
from dockerparallel_ecs_fargate_provider._version import __version__
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.leftovers import ECSTask, Leftovers
from dockerparallel_ecs_fargate_provider.options import Options, checked_options
from dockerparallel_ecs_fargate_provider.policy_commands import add_policy_command
from dockerparallel_ecs_fargate_provider.records import Role

_PROGRAM = "python -m dockerparallel_ecs_fargate_provider"
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, 1 where AWS fails, 2 for wrong input."""
    given = _parser().parse_args(arguments)
    try:
        options = _options(given)
        return int(given.run(AWS(None, options.region, given.endpoint_url), options, given))
    except (InvalidValueError, InvalidTypeError) as error:
        print(f"{_PROGRAM} {given.command}: {error}", file=sys.stderr)
        return 2
    except DockerParallelError as error:
        print(f"{_PROGRAM} {given.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _options(given: argparse.Namespace) -> Options:
    defaults = Options()
    return checked_options(
        {
            field.name: getattr(given, field.name, getattr(defaults, field.name))
            for field in fields(Options)
        }
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM, description="Look at clusters on ECS Fargate, and end them."
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--region", help="of AWS (default: that of the credentials)")
    parser.add_argument(
        "--cluster-name", default="dockerparallel", help="ECS cluster (default: %(default)s)"
    )
    parser.add_argument("--endpoint-url", help="where all services of AWS answer")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("list", help="list all clusters, crashed ones included").set_defaults(
        run=_list
    )
    for role in Role:
        listing = commands.add_parser(f"{role}s", help=f"list the {role} tasks of all clusters")
        listing.add_argument("name", nargs="?", help="job_queue_name of one cluster")
        listing.set_defaults(run=_tasks, role=role)
    stop = commands.add_parser("stop", help="end a cluster and remove its secrets")
    stop.add_argument("name", help="job_queue_name of the cluster")
    stop.set_defaults(run=_stop)
    stop_tasks = commands.add_parser("stop-tasks", help="end single tasks of ours")
    stop_tasks.add_argument("tasks", nargs="+", metavar="task", help="id or ARN of a task")
    stop_tasks.set_defaults(run=_stop_tasks)
    collect = commands.add_parser("gc", help="end the clusters whose lease has expired")
    collect.add_argument(
        "--deep", action="store_true", help="with none left, remove what they shared, too"
    )
    collect.set_defaults(run=_gc)
    add_policy_command(commands)
    return parser


def _list(aws: AWS, options: Options, _given: argparse.Namespace) -> int:
    rows = [
        (
            cluster.name,
            cluster.owner,
            cluster.server or "-",
            str(cluster.worker_number),
            str(len(cluster.tasks)),
            "-" if cluster.expires is None else tags.text_of(cluster.expires),
            "expired" if cluster.expired else "",
        )
        for cluster in Leftovers(aws, options).clusters()
    ]
    heads = ("name", "owner", "server", "workers", "tasks", "expires", "")
    print(table([heads, *rows]))
    return 0


def _tasks(aws: AWS, options: Options, given: argparse.Namespace) -> int:
    if given.name is not None:
        check_job_queue_name(given.name)
    rows = [_row(task) for task in Leftovers(aws, options).tasks(given.role, given.name)]
    heads = ("task", "cluster", "owner", "phase", "workers", "created", "")
    print(table([heads, *rows]))
    return 0


def _row(task: ECSTask) -> tuple[str, ...]:
    created = "-" if task.created is None else tags.text_of(task.created)
    workers = str(task.workers or "-")
    spot = "Spot" if task.spot else ""
    return task.id, task.cluster, task.owner, task.phase, workers, created, spot


def _stop(aws: AWS, options: Options, given: argparse.Namespace) -> int:
    name = check_job_queue_name(given.name)
    leftovers = Leftovers(aws, options)
    if all(cluster.name != name for cluster in leftovers.clusters()):
        print(f"{name}: there is no cluster of this name in {options.cluster_name}")
        return 0
    print(f"{name}: ended {leftovers.end(name)} task(s) and removed its secrets")
    return 0


def _stop_tasks(aws: AWS, options: Options, given: argparse.Namespace) -> int:
    for name in Leftovers(aws, options).stop_tasks(given.tasks):
        print(f"{name}: told to end")
    return 0


def _gc(aws: AWS, options: Options, given: argparse.Namespace) -> int:
    names = Leftovers(aws, options).gc(deep=given.deep)
    print(f"ended {len(names)} expired cluster(s){': ' + ', '.join(names) if names else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
