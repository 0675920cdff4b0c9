"""Run a command with a harness of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from dockerparallel_fargate_harness.client import ACCESS_KEY, SECRET_KEY, FargateHarness

ENDPOINT_VARIABLE = "DOCKERPARALLEL_FARGATE_HARNESS"
"""The variable with the endpoint, for `FargateHarness.attach`."""
CHECKIP_VARIABLE = "DOCKERPARALLEL_CHECKIP_URL"
"""The variable with the URL that answers the client's address."""
RUNNING_KINDS = ("tasks", "containers")
ENDING = frozenset({"DEACTIVATING", "STOPPING", "DEPROVISIONING"})
ENDING_SECONDS = 60.0
NOT_FOUND = 127


def environment_for(harness: FargateHarness) -> dict[str, str]:
    """Return the variables by which boto3 and the AWS CLI find the harness."""
    return {
        "AWS_ENDPOINT_URL": harness.endpoint_url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": harness.region,
        "AWS_REGION": harness.region,
        ENDPOINT_VARIABLE: harness.endpoint_url,
        CHECKIP_VARIABLE: harness.checkip_url,
    }


def run(harness: FargateHarness, command: Sequence[str]) -> int:
    """Run a command with a harness that has not been started, and return its exit code.

    What is left at the end is written to stderr where a task or a container is among it.
    """
    with harness:
        try:
            ended = subprocess.run(command, env=_environment(harness), check=False)
        except OSError as error:
            sys.stderr.write(f"fargate-harness: cannot run {command[0]}: {error}\n")
            return NOT_FOUND
        left = left_after_endings(harness)
        if any(kind in left for kind in RUNNING_KINDS):
            sys.stderr.write(report(left))
    # A shell adds 128 to the number of the signal that ended a command, too.
    return ended.returncode if ended.returncode >= 0 else 128 - ended.returncode


def left_after_endings(harness: FargateHarness) -> dict[str, list[str]]:
    """Return what is left once the tasks that were told to stop have ended, a while at most."""
    deadline = time.monotonic() + ENDING_SECONDS
    while time.monotonic() < deadline:
        living = {task.status for task in harness.tasks()} - {"STOPPED"}
        left = harness.left()
        if living - ENDING or not any(kind in left for kind in RUNNING_KINDS):
            return left
        time.sleep(0.1)
    return harness.left()


def report(left: Mapping[str, Sequence[str]]) -> str:
    """Return what is left as text, a kind a line."""
    lines = [f"  {kind}: {', '.join(identifiers)}" for kind, identifiers in sorted(left.items())]
    return "\n".join(["fargate-harness: left at the end of the command:", *lines, ""])


def _environment(harness: FargateHarness) -> dict[str, str]:
    # A profile or a token of the caller's would win over the keys.
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in {"AWS_PROFILE", "AWS_SESSION_TOKEN"}
    }
    return inherited | environment_for(harness)
