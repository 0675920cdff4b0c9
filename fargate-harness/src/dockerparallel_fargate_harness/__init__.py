"""ECS Fargate on this machine, for the tests of whoever writes a provider for AWS."""

from __future__ import annotations

from dockerparallel_fargate_harness._version import __version__
from dockerparallel_fargate_harness.calls import Call
from dockerparallel_fargate_harness.client import FargateHarness
from dockerparallel_fargate_harness.errors import (
    ControlError,
    DockerUnavailableError,
    HarnessError,
    HarnessStartError,
    HarnessTimeoutError,
)
from dockerparallel_fargate_harness.remote import TaskInfo
from dockerparallel_fargate_harness.settings import Settings

__all__ = [
    "Call",
    "ControlError",
    "DockerUnavailableError",
    "FargateHarness",
    "HarnessError",
    "HarnessStartError",
    "HarnessTimeoutError",
    "Settings",
    "TaskInfo",
    "__version__",
]
