"""What a task is told that its definition does not say: everybody who describes it sees that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from dockerparallel import InvalidValueError
from dockerparallel_ecs_fargate_provider.records import CONTAINER_NAME
from dockerparallel_ecs_fargate_provider.sizes import FargateSize

LONGEST_OVERRIDES = 8192
"""Characters of all overrides of a task, as JSON (API reference of RunTask)."""

KILL_AFTER = 30
"""Seconds that a program has to end after its time is up."""

TIME_IS_UP = 124
"""What ``timeout`` ends with where it had to end its command (GNU coreutils)."""

# How AWS writes its JSON is not said: there may be spaces.
_MARGIN = 512


def overrides(
    size: FargateSize, command: Sequence[str] | None, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Return the overrides of a task, as RunTask takes them."""
    container: dict[str, Any] = {
        "name": CONTAINER_NAME,
        "environment": [{"name": name, "value": text} for name, text in environment.items()],
    }
    if command is not None:
        container["command"] = list(command)
    return {
        "cpu": str(size.cpu),
        "memory": str(size.memory),
        "containerOverrides": [container],
    }


def limited_command(command: Sequence[str] | None, max_hours: float | None) -> list[str] | None:
    """Return a command that ends after so many hours, by the program ``timeout`` of the image.

    Raises
    ------
    InvalidValueError
        There is a limit, and no command that could be given one.
    """
    if max_hours is None or command is None:
        if max_hours is not None:
            raise InvalidValueError(
                f"max_hours={max_hours:g} limits the command of a container, and this container "
                "has none (command=None): give it the command that its image runs."
            )
        return None if command is None else list(command)
    return ["timeout", "-k", str(KILL_AFTER), str(ceil(max_hours * 3600)), *command]


def split_environment(
    command: Sequence[str] | None, environment: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what of an environment fits into the overrides, and what does not.

    The longest variables go first.

    Raises
    ------
    InvalidValueError
        The command alone is too long.
    """
    largest = FargateSize(16384, 122880)
    inside, outside = dict(environment), {}
    for name in sorted(environment, key=lambda name: (-len(environment[name]), name)):
        if _fits(overrides(largest, command, inside)):
            break
        outside[name] = inside.pop(name)
    if not _fits(overrides(largest, command, inside)):
        raise InvalidValueError(
            f"The command of the container takes {len(json.dumps(list(command or ())))} "
            f"characters, and ECS takes {LONGEST_OVERRIDES} for it and the names of its "
            "variables: put a long program into the image, or into a file."
        )
    return inside, outside


def _fits(whole: dict[str, Any]) -> bool:
    return len(json.dumps(whole)) <= LONGEST_OVERRIDES - _MARGIN
