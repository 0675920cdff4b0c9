"""How a container of a task is created on Docker."""

from __future__ import annotations

from typing import Any

from dockerparallel_fargate_harness.tasks import Task, TaskContainer

MIB = 1024 * 1024
NANO = 1_000_000_000


def creation_of(task: Task, container: TaskContainer, network: str, cores: int) -> dict[str, Any]:
    """Return the arguments of ``docker.containers.create`` for a container.

    Parameters
    ----------
    task : Task
        The task, whose size limits the container.
    container : TaskContainer
        The container, with its environment resolved.
    network : str
        The id of its network, or ``container:<id>`` to join another container's.
    cores : int
        What the engine has; more than that cannot be given.
    """
    definition = container.definition
    linux = definition.get("linuxParameters") or {}
    memory = min(task.size.memory, int(definition.get("memory") or task.size.memory)) * MIB
    arguments: dict[str, Any] = {
        "image": definition["image"],
        "command": definition.get("command"),
        "entrypoint": definition.get("entryPoint"),
        "environment": environment(task, container),
        "working_dir": definition.get("workingDirectory"),
        "user": definition.get("user"),
        "read_only": bool(definition.get("readonlyRootFilesystem")),
        "init": bool(linux.get("initProcessEnabled")),
        "tty": bool(definition.get("pseudoTerminal")),
        "nano_cpus": int(min(task.size.vcpus, cores) * NANO),
        "mem_limit": memory,
        # No swap, as on Fargate.
        "memswap_limit": memory,
        "name": f"fargate-{task.id}-{container.name}",
        "detach": True,
    }
    if network.startswith("container:"):
        arguments["network_mode"] = network
    else:
        arguments["network"] = network
        arguments["hostname"] = f"ip-{task.network.private_address.replace('.', '-')}"
    return {key: value for key, value in arguments.items() if value not in (None, [])}


def environment(task: Task, container: TaskContainer) -> dict[str, str]:
    """Return the environment of a container, with what Fargate itself puts there."""
    return {
        "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
        "AWS_REGION": task.region,
        "AWS_DEFAULT_REGION": task.region,
        **container.environment,
    }
