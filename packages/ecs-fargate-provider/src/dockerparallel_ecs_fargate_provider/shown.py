"""What AWS shows of the environment of tasks, to whoever may describe them."""

from __future__ import annotations

from collections.abc import Iterable

from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.records import TaskRecord


def shown_environment(aws: AWS, tasks: Iterable[TaskRecord]) -> list[str]:
    """Return the variables in the overrides and the definitions of tasks, as ``NAME=value``.

    Where a definition names a secret, the place of that stands for its value.
    """
    shown: list[str] = []
    definitions: set[str] = set()
    for task in tasks:
        for container in task.data.get("overrides", {}).get("containerOverrides", ()):
            shown += [f"{entry['name']}={entry['value']}" for entry in container["environment"]]
        definitions.add(str(task.data["taskDefinitionArn"]))
    for arn in sorted(definitions):
        answer = aws.call("ecs", "DescribeTaskDefinition", taskDefinition=arn)
        for container in answer["taskDefinition"]["containerDefinitions"]:
            shown += [f"{entry['name']}={entry['value']}" for entry in container["environment"]]
            shown += [f"{entry['name']}={entry['valueFrom']}" for entry in container["secrets"]]
    return shown
