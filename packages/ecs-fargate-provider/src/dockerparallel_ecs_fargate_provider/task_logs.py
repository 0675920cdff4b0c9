"""What a task has printed: its log stream in CloudWatch."""

from __future__ import annotations

from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.definitions import LOG_PREFIX
from dockerparallel_ecs_fargate_provider.errors import AWSError
from dockerparallel_ecs_fargate_provider.records import CONTAINER_NAME

_MOST_LINES = 10_000


def read_log(aws: AWS, log_group: str, task_id: str, lines: int | None = None) -> str | None:
    """Return what a task has printed, or ``None`` where it has no log (yet).

    Parameters
    ----------
    lines
        How many of the last lines, up to 10,000; all by default.
    """
    stream = f"{LOG_PREFIX}/{CONTAINER_NAME}/{task_id}"
    asked = {"logGroupName": log_group, "logStreamName": stream}
    found: list[str] = []
    try:
        if lines is not None:
            answer = aws.call(
                "logs",
                "GetLogEvents",
                startFromHead=False,
                limit=min(lines, _MOST_LINES),
                **asked,
            )
            found = [event["message"] for event in answer["events"]]
        else:
            token: dict[str, str] = {}
            while True:
                answer = aws.call("logs", "GetLogEvents", startFromHead=True, **asked, **token)
                found += [event["message"] for event in answer["events"]]
                # The end gives the token back with which it was asked for.
                if token.get("nextToken") == answer["nextForwardToken"]:
                    break
                token = {"nextToken": answer["nextForwardToken"]}
    except AWSError as error:
        if error.code != "ResourceNotFoundException":
            raise
        return None
    return "".join(f"{message}\n" for message in found)
