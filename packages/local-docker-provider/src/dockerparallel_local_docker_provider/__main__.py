"""Looking at clusters of a Docker engine, and ending them, without a Python session.

``python -m dockerparallel_local_docker_provider list``, ``... logs NAME``, ``... shell NAME`` and
``... remove NAME`` use the engine that the ``docker`` command would use.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence

from dockerparallel import DockerParallelError, InvalidValueError, ProviderError
from dockerparallel.display import table
from dockerparallel.validation import check_job_queue_name
from dockerparallel_local_docker_provider import labels, leftovers
from dockerparallel_local_docker_provider._version import __version__
from dockerparallel_local_docker_provider.connection import EngineConnection, EngineOptions
from dockerparallel_local_docker_provider.engine import Engine
from dockerparallel_local_docker_provider.following import follow_log
from dockerparallel_local_docker_provider.labels import Role
from dockerparallel_local_docker_provider.records import ContainerRecord

_PROGRAM = "python -m dockerparallel_local_docker_provider"
_ENGINE_TIMEOUT = 60.0
_STOP_TIMEOUT = 10.0
_AT_A_TIME = 8
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, 1 where the engine fails, 2 for input."""
    options = _parser().parse_args(arguments)
    connection = EngineConnection(
        EngineOptions(options.host, options.context, _ENGINE_TIMEOUT, _AT_A_TIME)
    )
    options.connection = connection
    try:
        if "name" in options:
            check_job_queue_name(options.name)
        return int(options.run(connection.engine, options))
    except InvalidValueError as error:
        print(f"{_PROGRAM} {options.command}: {error}", file=sys.stderr)
        return 2
    except DockerParallelError as error:
        print(f"{_PROGRAM} {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        connection.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM, description="Look at the clusters of a Docker engine, and end them."
    )
    parser.add_argument("--version", action="version", version=__version__)
    engine = parser.add_mutually_exclusive_group()
    engine.add_argument("--host", help="address of the engine (default: as the docker command)")
    engine.add_argument("--context", help="docker context to use instead")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("list", help="list all clusters, crashed ones included").set_defaults(
        run=_list
    )
    remove = commands.add_parser("remove", help="end a cluster and remove all of it but images")
    remove.add_argument("name", help="job_queue_name of the cluster")
    remove.set_defaults(run=_remove)
    logs = commands.add_parser("logs", help="print what a container has printed")
    logs.add_argument("name", help="job_queue_name of the cluster")
    logs.add_argument("handle", nargs="?", default="server", help="container (default: server)")
    logs.add_argument("--lines", type=_positive, help="only the last lines")
    logs.add_argument("--follow", action="store_true", help="go on as it prints more")
    logs.set_defaults(run=_logs)
    shell = commands.add_parser("shell", help="open a shell in a container")
    shell.add_argument("name", help="job_queue_name of the cluster")
    shell.add_argument("handle", nargs="?", default="server", help="container (default: server)")
    shell.add_argument("--program", default="sh", help="what to run there (default: sh)")
    shell.set_defaults(run=_shell)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines: at least 1")
    return int(text)


def _list(engine: Engine, _options: argparse.Namespace) -> int:
    heads = ("name", "owner", "server", "workers", "containers", "version")
    rows = [
        (
            cluster.name,
            cluster.owner,
            "runs" if cluster.server_runs else "-",
            str(cluster.worker_number),
            str(len(cluster.containers)),
            cluster.version,
        )
        for cluster in leftovers.list_clusters(engine)
    ]
    print(table([heads, *rows]))
    return 0


def _remove(engine: Engine, options: argparse.Namespace) -> int:
    containers, networks = leftovers.remove_cluster(
        engine, options.name, timeout=_STOP_TIMEOUT, at_a_time=_AT_A_TIME
    )
    print(f"{options.name}: removed {containers} container(s) and {networks} network(s)")
    return 0


def _logs(engine: Engine, options: argparse.Namespace) -> int:
    record = _container(engine, options)
    if options.follow:
        for line in follow_log(engine, record.id, options.lines, None):
            print(line, flush=True)
    else:
        print(engine.log(record.id, options.lines), end="")
    return 0


def _shell(engine: Engine, options: argparse.Namespace) -> int:
    record = _container(engine, options)
    docker = shutil.which("docker")
    if docker is None:
        raise ProviderError(
            "There is no 'docker' command on PATH to open a shell with: install it (the package "
            f"docker-cli or docker.io), or use another way into the container {record.name}."
        )
    # Without either, it finds the same engine by itself, and its certificates.
    where = ["--context", options.context] if options.context else []
    where += ["--host", options.host] if options.host else []
    terminal = ["--interactive", *(["--tty"] if sys.stdin.isatty() else [])]
    sys.stdout.flush()
    # Nobody is here to do it later.
    options.connection.close()
    os.execv(docker, [docker, *where, "exec", *terminal, record.name, options.program])  # noqa: S606  # no shell here


def _container(engine: Engine, options: argparse.Namespace) -> ContainerRecord:
    name = options.name
    records = {
        record.handle: record
        for record in engine.containers({labels.CLUSTER: name})
        if record.role != Role.STORE
    }
    if options.handle not in records:
        raise InvalidValueError(
            f"The cluster {name!r} has no container {options.handle!r}. It has: "
            f"{', '.join(records) or 'none'}."
        )
    return records[options.handle]


if __name__ == "__main__":
    sys.exit(main())
