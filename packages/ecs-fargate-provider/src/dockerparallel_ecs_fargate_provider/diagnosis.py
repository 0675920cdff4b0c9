"""What became of a task, and why AWS started none, in words that say what to do.

Pure functions over what DescribeTasks and RunTask answer. The fields are those of the API
reference of ECS (``Task``, ``Failure``); the texts of AWS that are looked for stand in its
documentation, "Amazon ECS stopped tasks error messages" and "service event messages".
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from dockerparallel_ecs_fargate_provider.errors import (
    CapacityError,
    LaunchError,
    QuotaError,
    RoleError,
)

_SIGNALS_FROM = 128
"""A shell and Docker give 128 plus the signal as exit code of what a signal ended."""


class Phase(StrEnum):
    """How far a task is."""

    REQUESTED = "requested"
    PROVISIONING = "provisioning"
    PULLING = "pulling"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


_PHASES = {
    "PROVISIONING": Phase.PROVISIONING,
    "PENDING": Phase.PULLING,
    "ACTIVATING": Phase.RUNNING,
    "RUNNING": Phase.RUNNING,
    "DEACTIVATING": Phase.STOPPING,
    "STOPPING": Phase.STOPPING,
    "DEPROVISIONING": Phase.STOPPING,
    "STOPPED": Phase.STOPPED,
    "DELETED": Phase.STOPPED,
}


def phase_of(task: Mapping[str, Any]) -> Phase:
    """Return the phase of a task by its ``lastStatus``.

    Parameters
    ----------
    task
        The task as DescribeTasks or RunTask gives it. Without a ``lastStatus``, or with one
        that AWS does not document ("Amazon ECS task lifecycle"), it is ``REQUESTED``.
    """
    return _PHASES.get(str(task.get("lastStatus")), Phase.REQUESTED)


def is_spot_interruption(task: Mapping[str, Any]) -> bool:
    """Return whether Fargate took, or is taking, the capacity of the task back.

    The stop code says so; of a task that only has its notice, the reason does (AWS
    documentation, "Fargate capacity providers": the notice comes two minutes ahead).
    """
    reason = str(task.get("stoppedReason") or "").lower()
    return task.get("stopCode") == "SpotInterruption" or "spot task was interrupted" in reason


def explain_stop(task: Mapping[str, Any], image: str, log_tail: str | None) -> str:
    """Return how a task ended, why that may be, what to do, and the end of its log.

    Parameters
    ----------
    task
        The stopped task as DescribeTasks gives it. Any field may be missing.
    image
        The image of its container, for the advice.
    log_tail
        The end of its log; empty or ``None`` where it printed nothing.
    """
    handle = str(task.get("taskArn") or "without a name").rsplit("/", 1)[-1]
    code, reason = task.get("stopCode"), _text(task.get("stoppedReason"))
    parts = [f"Task {handle} has stopped" + (f" ({code})" if code else "")]
    if reason:
        parts[0] += f": {reason}"
    containers = task.get("containers") or []
    parts += [line for container in containers if (line := _container_line(container))]
    advice = _advice(task, image, log_tail or "")
    parts += [advice] if advice else []
    told = " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts)
    tail = (log_tail or "").strip("\r\n")
    if not tail.strip():
        return f"{told} It printed nothing."
    indented = "\n".join(f"    {line}" for line in tail.splitlines())
    return f"{told} Its log ends with:\n{indented}"


def explain_refusal(reason: str, detail: str | None = None, *, spot: bool = False) -> LaunchError:
    """Return the error for a task that AWS did not start.

    Parameters
    ----------
    reason
        ``reason`` of an entry of RunTask's ``failures``, or the message of its error.
    detail
        ``detail`` of that entry, if it has one.
    spot
        Whether Spot capacity was asked for: it has a quota of its own, and runs out more often.

    Returns
    -------
    LaunchError
        To be raised: a :class:`QuotaError`, :class:`CapacityError` or :class:`RoleError` where
        the text says so. Its ``text`` is what AWS said.
    """
    said = ": ".join(part for part in (_text(reason), _text(detail)) if part)
    lead = f"AWS did not start the task: {said or 'it gave no reason'}"
    lead = lead if lead.endswith(".") else f"{lead}."
    if _ROLE.search(said):
        return RoleError(f"{lead} {_ROLE_ADVICE}", text=said)
    if _QUOTA.search(said):
        return QuotaError(f"{lead} {_quota_advice(spot)}", text=said)
    if _CAPACITY.search(said):
        return CapacityError(f"{lead} {_capacity_advice(spot)}", text=said)
    if "capacity provider" in said.lower():
        return LaunchError(f"{lead} {_PROVIDER_ADVICE}", text=said)
    return LaunchError(
        f"{lead} Look for its words in the AWS documentation, 'Amazon ECS API failures messages'.",
        text=said,
    )


class _Advice(NamedTuple):
    """What to say where a pattern is found; ``{image}`` and ``{found}`` are filled in."""

    pattern: re.Pattern[str]
    text: str


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE | re.DOTALL)


_ROLE = _pattern(
    r"unable to assume",
    r"cannot assume",
    r"perform:? sts:AssumeRole",
    r"role .*is not valid",
    r"role .*trust relationship",
    r"perform:? iam:PassRole",
)
_QUOTA = _pattern(
    r"reached the limit",
    r"above your limit",
    r"quota",
    r"limit exceeded",
    r"vcpu ?limit",
    r"provisioning capacity limit",
)
_CAPACITY = _pattern(r"capacity is unavailable", r"insufficient capacity", r"^RESOURCE:")
_ARCHITECTURE = _pattern(
    r"exec format error",
    r"does not contain descriptor matching platform",
    r"no matching manifest for",
)
_ROLE_ADVICE = (
    "ECS could not assume a role of the task: it must exist, and its trust policy must let "
    "ecs-tasks.amazonaws.com call sts:AssumeRole; the caller needs iam:PassRole for it. A role "
    "that was just made may need some seconds: try again."
)
_PROVIDER_ADVICE = (
    "The ECS cluster must have the capacity provider FARGATE_SPOT: add it by 'aws ecs "
    "put-cluster-capacity-providers', or use spot=0."
)
_OUT_OF_MEMORY = (
    "It was killed, perhaps because its memory was used up: give its workers more by "
    "worker_memory=, or the server by server_memory=."
)
_DENIED_ACTION = re.compile(r"perform:? ([a-z0-9-]+:[A-Za-z]+)")

# The first that is found counts, so what is said more precisely stands before.
_ADVICES = (
    _Advice(_ROLE, _ROLE_ADVICE),
    _Advice(
        _pattern(r"no space left on device"),
        "The image {image} is too big for the disk of the task, or the work filled it: a Fargate "
        "task has 20 GiB, of which the image takes its unpacked size. Use a smaller image, or "
        "write less.",
    ),
    _Advice(
        _pattern(r"AccessDenied", r"not authorized to perform"),
        "The execution role lacks the permission {found}: add it to the policy of the role.",
    ),
    _Advice(
        _pattern(r"log ?group does not exist", r"ResourceNotFoundException.*log ?group"),
        "The log group of the task does not exist: create it, or leave log_group= out.",
    ),
    _Advice(
        _pattern(
            r"ResourceNotFoundException",
            r"ParameterNotFound",
            r"(ssm|secrets).*invalid parameters?",
            r"invalid ssm parameters?",
            r"can.t find the specified secret",
        ),
        "A secret of the task does not exist (any more): somebody deleted it. Start the cluster "
        "again.",
    ),
    _Advice(
        _pattern(r"toomanyrequests", r"pull rate limit"),
        "The registry of {image} limits how often it is pulled: log in there, or copy the image "
        "to Amazon ECR and use it from there.",
    ),
    _Advice(
        _pattern(
            r"i/o timeout",
            r"deadline exceeded",
            r"connection issue",
            r"check your (task )?network",
            r"no such host",
            r"connection refused",
            r"network is unreachable",
            r"request canceled while waiting",
            r"TLS handshake timeout",
        ),
        "The task has no route to the registry of {image} or to AWS: a subnet with an internet "
        "gateway needs assign_public_ip=True, a private one a NAT gateway or VPC endpoints, and "
        "the security group must let HTTPS (port 443) out.",
    ),
    _Advice(
        _pattern(
            r"CannotPull.*(not found|does not exist|manifest unknown|name unknown)",
            r"CannotPull.*(pull access denied|unauthorized|insufficient_scope|403 forbidden)",
            r"CannotPull.*(requires 'docker login'|no basic auth credentials|denied:)",
        ),
        "The image {image} is not in its registry, or may not be pulled: look at its name and "
        "tag, push it, and let the execution role read it.",
    ),
    _Advice(_pattern(r"CannotPull"), "The image {image} could not be pulled."),
    _Advice(
        _pattern(r"Cannot(Start|Create)Container.*(executable file not found|no such file)"),
        "The image {image} lacks the program to be started: is it an image of this container?",
    ),
    _Advice(_pattern(r"OutOfMemory", r"exit code 137"), _OUT_OF_MEMORY),
)


def _advice(task: Mapping[str, Any], image: str, log: str) -> str | None:
    if is_spot_interruption(task):
        return "Fargate took its Spot capacity back; it's replaced at the next update."
    if task.get("stopCode") == "UserInitiated":
        return (
            "Somebody, or the cluster itself, stopped it by StopTask: the reason is theirs, and "
            "CloudTrail has who called."
        )
    containers = task.get("containers") or []
    said = [_text(task.get("stoppedReason")), *map(_container_line, containers)]
    evidence = "\n".join(said)
    if _ARCHITECTURE.search(f"{evidence}\n{log}"):
        return (
            f"The image {image} is not built for the processors of the task: build it by 'docker "
            "buildx build --platform linux/amd64' for architecture='X86_64', or linux/arm64 for "
            "'ARM64', or choose the other architecture=."
        )
    advice = _advice_by_text(evidence, image, task.get("capacityProviderName") == "FARGATE_SPOT")
    if advice is None and task.get("stopCode") in {"TerminationNotice", "InfrastructureHealth"}:
        return "AWS took the machine below the task away; it's replaced at the next update."
    return advice


def _advice_by_text(evidence: str, image: str, spot: bool) -> str | None:
    for pattern, text in _ADVICES:
        if pattern.search(evidence):
            action = _DENIED_ACTION.search(evidence)
            found = action.group(1) if action else "that the reason names"
            return text.format(image=image, found=found)
    for pattern, advice in ((_QUOTA, _quota_advice), (_CAPACITY, _capacity_advice)):
        if pattern.search(evidence):
            return advice(spot)
    return None


def _container_line(container: Mapping[str, Any]) -> str:
    """Return how a container ended, or ``""`` where nothing is known of it."""
    code, reason = container.get("exitCode"), _text(container.get("reason"))
    name = f"Container {container.get('name', '')!r}"
    if code is None:
        return f"{name}: {reason}" if reason else ""
    ended = f"{name} ended with exit code {code}{_signal(int(code))}"
    return f"{ended}: {reason}" if reason else ended


def _signal(code: int) -> str:
    try:
        return f" ({signal.Signals(code - _SIGNALS_FROM).name})"
    except ValueError:
        return ""


def _text(value: object) -> str:
    return " ".join(str(value).split()) if value else ""


def _quota_advice(spot: bool) -> str:
    name, code = (
        ("Fargate Spot vCPU resource count", "L-36FBB829")
        if spot
        else ("Fargate On-Demand vCPU resource count", "L-3032A538")
    )
    return (
        f"Ask for more of the quota '{name}' ({code}) in Service Quotas of this region: it starts "
        "at 6 vCPU, and may be 0 in a new account. Or use fewer or smaller workers, or wait until "
        "other tasks have ended."
    )


def _capacity_advice(spot: bool) -> str:
    if spot:
        return (
            "Spot capacity comes and goes: try again later, use less of it (spot=0 has none), or "
            "give subnets of more availability zones."
        )
    return "Try again later, or give subnets of more availability zones, or another region."
