"""What a test can change in a running harness."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Settings:
    """The times and limits of the harness; all times are seconds.

    Parameters
    ----------
    provisioning_seconds : float, default 0
        How long a task is PROVISIONING, as when Fargate gives it a network interface.
    pulling_seconds : float, default 0
        How long a task is PENDING, as when its image is pulled.
    deprovisioning_seconds : float, default 0
        How long a task is DEPROVISIONING after its container has ended.
    list_lag_seconds : float, default 0
        ListTasks does not show tasks younger than this, as AWS is eventually consistent.
    stopped_task_seconds : float, default 3600
        How long a stopped task is known before it is MISSING.
    vcpu_quota : float, optional
        The vCPUs that all tasks may have at a time; no limit by default.
    """

    provisioning_seconds: float = 0.0
    pulling_seconds: float = 0.0
    deprovisioning_seconds: float = 0.0
    list_lag_seconds: float = 0.0
    stopped_task_seconds: float = 3600.0
    vcpu_quota: float | None = None

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return these settings with some changed.

        Raises
        ------
        ValueError
            A name is not one of the settings, or a value is no number of at least 0.
        """
        names = {item.name for item in dataclasses.fields(self)}
        for name, value in changes.items():
            if name not in names:
                raise ValueError(f"no setting {name!r}; there are {', '.join(sorted(names))}")
            if value is None and name == "vcpu_quota":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                raise ValueError(f"{name} must be a number of at least 0, not {value!r}")
        return dataclasses.replace(self, **changes)
