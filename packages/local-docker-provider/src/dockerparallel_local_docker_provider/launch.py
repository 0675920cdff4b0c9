"""Starting containers, with their files in them, and ending them, many at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dockerparallel import DockerHardware, Status
from dockerparallel.environment import SECRETS_DIR_VARIABLE
from dockerparallel_local_docker_provider import labels
from dockerparallel_local_docker_provider.deployment import Deployment
from dockerparallel_local_docker_provider.engine import Engine
from dockerparallel_local_docker_provider.files import (
    SECRETS_DIR,
    User,
    archive,
    parse_user,
)
from dockerparallel_local_docker_provider.labels import Role
from dockerparallel_local_docker_provider.packing import nano_cpus
from dockerparallel_local_docker_provider.records import ContainerRecord, ContainerSpec
from dockerparallel_managed_provider.parallel import for_each

if TYPE_CHECKING:
    from dockerparallel import DockerContainer
    from dockerparallel.log import ClusterLogger

_USERS_FILE = "/etc/passwd"
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25


def specification(
    deployment: Deployment,
    container: DockerContainer,
    hardware: DockerHardware,
    role: Role,
    handle: str,
    *,
    workers: int = 0,
    ports: dict[int, int | None] | None = None,
) -> ContainerSpec:
    """Return what the engine is told of a container that is configured.

    Its hardware is that of all its workers together.
    """
    return ContainerSpec(
        name=deployment.container_name(handle),
        image=container.image,
        command=container.command,
        hostname=handle,
        network=deployment.network,
        environment={**container.environment, SECRETS_DIR_VARIABLE: SECRETS_DIR},
        labels={
            **labels.common(deployment.name, deployment.cluster_id),
            labels.ROLE: role.value,
            labels.HANDLE: handle,
            labels.WORKERS: str(workers),
            labels.STARTED: str(time.time_ns()),
        },
        nano_cpus=nano_cpus(hardware, max(1, workers)),
        memory_mib=hardware.memory * max(1, workers),
        ports=ports or {},
    )


def make(
    engine: Engine,
    spec: ContainerSpec,
    secrets: dict[str, str],
    static_data: dict[str, Any] | None,
    user: str,
) -> str:
    """Make a container with its files, not started, and return its id.

    Where that fails half-way, nothing of it is left. Thread-safe.

    Parameters
    ----------
    user
        Whom its image runs as, and who alone may read the files.

    Raises
    ------
    NameTakenError
        A container has that name already.
    EngineError
        The engine refuses it.
    """
    container_id = engine.create(spec)
    try:
        owner = _owner(engine, container_id, user)
        engine.put(container_id, archive(secrets, static_data, owner))
    except BaseException:
        engine.remove(container_id)
        raise
    return container_id


def launch(
    engine: Engine,
    spec: ContainerSpec,
    secrets: dict[str, str],
    static_data: dict[str, Any] | None,
    user: str,
) -> None:
    """Make a container with its files, and start it; see :func:`make`."""
    container_id = make(engine, spec, secrets, static_data, user)
    try:
        engine.start(container_id, spec.name)
    except BaseException:
        engine.remove(container_id)
        raise


def end(
    engine: Engine,
    records: Sequence[ContainerRecord],
    *,
    timeout: float,
    at_a_time: int,
    logger: ClusterLogger | None = None,
) -> list[ContainerRecord]:
    """End containers and remove them, all at the same time; return those that are left.

    Each gets SIGTERM and ``timeout`` seconds, then SIGKILL. Works at interpreter exit, too.
    """
    running = [record for record in records if record.status is Status.RUNNING]
    outcomes = for_each(lambda r: engine.terminate(r.id), running, at_a_time=at_a_time)
    # One that could not be told is killed below.
    told = [r for r, outcome in zip(running, outcomes, strict=True) if outcome is None]
    _wait_for_end(engine, told, timeout)
    removed = for_each(
        lambda record: engine.remove(record.id),
        records,
        at_a_time=at_a_time,
        tell=None
        if logger is None
        else lambda done: logger.info("Ended %d of %d containers.", done, len(records)),
    )
    left = []
    for record, outcome in zip(records, removed, strict=True):
        if isinstance(outcome, Exception):
            left.append(record)
            if logger is not None:
                logger.warning("The container %s could not be removed: %s", record.name, outcome)
    return left


def _wait_for_end(engine: Engine, records: list[ContainerRecord], timeout: float) -> None:
    waited_for = {record.id for record in records}
    if not waited_for:
        return
    # All are of one name, but what crashes have left of it may be of several clusters.
    by = {labels.CLUSTER: records[0].cluster}
    deadline, pause = time.monotonic() + timeout, _FIRST_PAUSE
    while any(r.id in waited_for and r.status is Status.RUNNING for r in engine.containers(by)):
        if time.monotonic() > deadline:
            return
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _owner(engine: Engine, container_id: str, user: str) -> User:
    """Return the user of an image in numbers; a name is looked up in the image itself."""
    name = user.partition(":")[0]
    passwd = engine.read_file(container_id, _USERS_FILE) if name and name != "root" else None
    return parse_user(user, passwd)
