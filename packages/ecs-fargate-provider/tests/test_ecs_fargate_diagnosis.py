"""What is said of a task that ended, and of one that was never started."""

from __future__ import annotations

from typing import Any

import pytest

from dockerparallel_ecs_fargate_provider.diagnosis import (
    Phase,
    explain_refusal,
    explain_stop,
    is_spot_interruption,
    phase_of,
)
from dockerparallel_ecs_fargate_provider.errors import (
    CapacityError,
    LaunchError,
    QuotaError,
    RoleError,
)

IMAGE = "registry.example/workers:1"
ARN = "arn:aws:ecs:us-east-1:123456789012:task/dockerparallel/2243bac3ca1d4b3a8c66888348cba2e1"
PULL = "CannotPullContainerError: "
START = "ResourceInitializationError: unable to pull secrets or registry auth: "
USER = "User: arn:aws:sts::123456789012:assumed-role/execution/abc is not authorized to perform: "


def stopped(
    reason: str = "",
    code: str = "TaskFailedToStart",
    exit_code: int | None = None,
    container_reason: str | None = None,
    **others: Any,
) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "worker", "lastStatus": "STOPPED"}
    if exit_code is not None:
        container["exitCode"] = exit_code
    if container_reason is not None:
        container["reason"] = container_reason
    return {
        "taskArn": ARN,
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "stopCode": code,
        "stoppedReason": reason,
        "containers": [container],
        **others,
    }


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("PROVISIONING", Phase.PROVISIONING),
        ("PENDING", Phase.PULLING),
        ("ACTIVATING", Phase.RUNNING),
        ("RUNNING", Phase.RUNNING),
        ("DEACTIVATING", Phase.STOPPING),
        ("STOPPING", Phase.STOPPING),
        ("DEPROVISIONING", Phase.STOPPING),
        ("STOPPED", Phase.STOPPED),
        ("DELETED", Phase.STOPPED),
        ("SOMETHING_NEW", Phase.REQUESTED),
        (None, Phase.REQUESTED),
    ],
)
def test_the_phase_of_a_status(status: str | None, phase: Phase) -> None:
    assert phase_of({"lastStatus": status}) is phase


def test_a_task_without_a_status_is_requested() -> None:
    assert phase_of({}) is Phase.REQUESTED


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        ("SpotInterruption", "", True),
        ("SpotInterruption", None, True),
        ("TerminationNotice", "Your Spot Task was interrupted.", True),
        (None, "Your Spot Task was interrupted.", True),
        ("TerminationNotice", "Scheduled maintenance", False),
        ("UserInitiated", "Task stopped by user", False),
        (None, None, False),
    ],
)
def test_a_spot_interruption(code: str | None, reason: str | None, expected: bool) -> None:
    assert is_spot_interruption({"stopCode": code, "stoppedReason": reason}) is expected


def test_all_that_is_known_of_the_end_is_told() -> None:
    task = stopped(
        "Essential container in task exited",
        "EssentialContainerExited",
        137,
        "OutOfMemoryError: Container killed due to memory usage",
    )
    assert explain_stop(task, IMAGE, "loading\nMemoryError: 3 GB\n") == (
        "Task 2243bac3ca1d4b3a8c66888348cba2e1 has stopped (EssentialContainerExited): Essential "
        "container in task exited. Container 'worker' ended with exit code 137 (SIGKILL): "
        "OutOfMemoryError: Container killed due to memory usage. It was killed, perhaps because "
        "its memory was used up: give its workers more by worker_memory=, or the server by "
        "server_memory=. Its log ends with:\n    loading\n    MemoryError: 3 GB"
    )


def test_a_task_of_which_nothing_is_known_is_told_too() -> None:
    assert explain_stop({}, IMAGE, None) == "Task without a name has stopped. It printed nothing."


@pytest.mark.parametrize("log", [None, "", "\n \n"])
def test_a_task_without_a_log_printed_nothing(log: str | None) -> None:
    assert explain_stop(stopped("x"), IMAGE, log).endswith("x. It printed nothing.")


@pytest.mark.parametrize(
    ("exit_code", "shown"),
    [
        (0, "exit code 0."),
        (1, "exit code 1."),
        (128, "exit code 128."),
        (143, "exit code 143 (SIGTERM)."),
        (139, "exit code 139 (SIGSEGV)."),
        (255, "exit code 255."),
    ],
)
def test_an_exit_code_above_128_names_its_signal(exit_code: int, shown: str) -> None:
    assert shown in explain_stop(stopped("", "EssentialContainerExited", exit_code), IMAGE, "")


def test_an_error_of_the_program_itself_gets_no_advice() -> None:
    task = stopped("Essential container in task exited", "EssentialContainerExited", 1)
    assert explain_stop(task, IMAGE, "Traceback").endswith(
        "exit code 1. Its log ends with:\n    Traceback"
    )


def test_an_indented_log_keeps_its_indentation() -> None:
    told = explain_stop(stopped("x"), IMAGE, "\n  File 'a.py'\nError\n")
    assert told.endswith("with:\n      File 'a.py'\n    Error")


MEMORY = "give its workers more by worker_memory="
NOT_FOUND = f"The image {IMAGE} is not in its registry, or may not be pulled"
NO_ROUTE = f"no route to the registry of {IMAGE}"
ARCHITECTURE = f"The image {IMAGE} is not built for the processors of the task"
TOO_BIG = f"The image {IMAGE} is too big for the disk"
NO_SECRET = "A secret of the task does not exist"
NO_GROUP = "The log group of the task does not exist"
NO_ROLE = "ECS could not assume a role of the task"


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (PULL + "pull image manifest has been retried 5 time(s): not found", NOT_FOUND),
        (PULL + "ref pull has been retried: manifest unknown", NOT_FOUND),
        (PULL + "pull access denied for x, repository does not exist", NOT_FOUND),
        (PULL + "failed to resolve ref: unexpected status: 403 Forbidden", NOT_FOUND),
        (PULL + "image Manifest does not contain descriptor matching platform", ARCHITECTURE),
        (PULL + "no matching manifest for linux/arm64 in the list", ARCHITECTURE),
        (PULL + "failed to copy: dial tcp 52.219.199.138:443: i/o timeout", NO_ROUTE),
        (PULL + "failed to resolve: registry not found: no such host", NO_ROUTE),
        (PULL + "failed to register layer: no space left on device", TOO_BIG),
        (PULL + "toomanyrequests: You have reached your pull rate limit", "limits how often"),
        (PULL + "failed to unpack image on snapshotter", f"The image {IMAGE} could not be pulled."),
        (START + "RequestCanceled: caused by: context deadline exceeded", NO_ROUTE),
        (START + "There is a connection issue between the task and Amazon ECR.", NO_ROUTE),
        (
            (
                "ResourceInitializationError: failed to validate logger args: The task cannot "
                "find the Amazon CloudWatch log group defined in the task definition. There is a "
                "connection issue between the task and Amazon CloudWatch. Check your "
                "network configuration."
            ),
            NO_ROUTE,
        ),
        (
            START + f"AccessDeniedException: {USER}secretsmanager:GetSecretValue on resource: x",
            "The execution role lacks the permission secretsmanager:GetSecretValue:",
        ),
        (
            (
                "ResourceInitializationError: failed to create Cloudwatch log stream: "
                f"AccessDeniedException: {USER}logs:CreateLogStream on resource: x"
            ),
            "lacks the permission logs:CreateLogStream:",
        ),
        (START + "AccessDeniedException", "lacks the permission that the reason names:"),
        (
            (
                "failed to create Cloudwatch log stream: ResourceNotFoundException: The "
                "specified log group does not exist."
            ),
            NO_GROUP,
        ),
        (START + "ResourceNotFoundException: Secrets Manager can't find the secret", NO_SECRET),
        (START + "unable to retrieve secrets from ssm: invalid parameters: /a/b", NO_SECRET),
        (START + "invalid ssm parameters: /a/b", NO_SECRET),
        (START + "ParameterNotFound", NO_SECRET),
        ("ECS was unable to assume the role 'arn:aws:iam::1:role/x'", NO_ROLE),
        ("Capacity is unavailable at this time. Please try again later", "Try again later, or"),
        ("You've reached the limit on the number of vCPUs", "L-3032A538"),
    ],
)
def test_the_advice_for_a_task_that_never_ran(reason: str, advice: str) -> None:
    told = explain_stop(stopped(reason), IMAGE, None)
    assert reason in told
    assert advice in told


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("OutOfMemoryError: Container killed due to memory usage", MEMORY),
        ("exec /bin/sh: exec format error", ARCHITECTURE),
        (
            "CannotStartContainerError: exec: 'dp': executable file not found in $PATH",
            f"The image {IMAGE} lacks the program",
        ),
        (PULL + "not found", NOT_FOUND),
    ],
)
def test_the_reason_of_the_container_counts_as_well(reason: str, advice: str) -> None:
    task = stopped("Task failed to start", container_reason=reason)
    assert advice in explain_stop(task, IMAGE, None)


def test_a_wrong_architecture_shows_in_the_log_alone() -> None:
    task = stopped("Essential container in task exited", "EssentialContainerExited", 255)
    assert ARCHITECTURE in explain_stop(task, IMAGE, "exec /usr/bin/python: exec format error")


def test_a_log_that_speaks_of_aws_is_no_evidence() -> None:
    task = stopped("Essential container in task exited", "EssentialContainerExited", 1)
    told = explain_stop(task, IMAGE, "AccessDeniedException: CannotPull i/o timeout not found")
    assert told.count("AccessDenied") == 1
    assert "execution role" not in told
    assert NO_ROUTE not in told


@pytest.mark.parametrize(
    ("code", "reason", "advice"),
    [
        ("SpotInterruption", "Your Spot Task was interrupted.", "took its Spot capacity back"),
        ("TerminationNotice", "Your Spot Task was interrupted.", "took its Spot capacity back"),
        ("UserInitiated", "Task stopped by user", "CloudTrail has who called"),
        ("TerminationNotice", "Task is retired for maintenance", "AWS took the machine below"),
        ("InfrastructureHealth", "Host is unhealthy", "AWS took the machine below"),
    ],
)
def test_who_ended_a_task_counts_more_than_its_exit_code(
    code: str, reason: str, advice: str
) -> None:
    task = stopped(reason, code, 143)
    assert advice in explain_stop(task, IMAGE, "")
    killed = stopped(reason, code, 137)
    if code in {"SpotInterruption", "UserInitiated"}:
        assert MEMORY not in explain_stop(killed, IMAGE, "")


def test_only_a_spot_task_is_told_of_the_spot_quota() -> None:
    reason = "You've reached the limit on the number of vCPUs"
    told = explain_stop(stopped(reason, capacityProviderName="FARGATE_SPOT"), IMAGE, None)
    assert "L-36FBB829" in told
    assert "L-3032A538" not in told


def test_an_image_name_with_braces_breaks_nothing() -> None:
    assert "image {x} is not in" in explain_stop(stopped(PULL + "not found"), "{x}", None)


def test_a_reason_over_several_lines_becomes_one() -> None:
    assert "(TaskFailedToStart): a b." in explain_stop(stopped("a\n   b"), IMAGE, None)


VCPUS = "You've reached the limit on the number of vCPUs you can run concurrently"
CAPACITY = "Capacity is unavailable at this time. Please try again later."
ASSUME = "ECS was unable to assume the role 'x' that was provided for this task."


@pytest.mark.parametrize(
    ("reason", "kind", "parts"),
    [
        (VCPUS, QuotaError, ["Fargate On-Demand vCPU resource count", "L-3032A538", "6 vCPU"]),
        (VCPUS.replace("'", "\u2019"), QuotaError, ["may be 0 in a new account"]),
        ("The requested CPU configuration is above your limit", QuotaError, ["Service Quotas"]),
        (CAPACITY, CapacityError, ["Try again later", "availability zones"]),
        ("RESOURCE:ENI", CapacityError, ["Try again later"]),
        (ASSUME, RoleError, ["ecs-tasks.amazonaws.com", "iam:PassRole"]),
        ("Role is not valid", RoleError, ["must exist"]),
        (f"{USER}iam:PassRole on resource: x", RoleError, ["iam:PassRole"]),
        (
            "The specified capacity provider 'FARGATE_SPOT' was not found.",
            LaunchError,
            ["put-cluster-capacity-providers", "spot=0"],
        ),
        ("MISSING", LaunchError, ["Look for its words"]),
        ("", LaunchError, ["it gave no reason."]),
    ],
)
def test_a_refusal_becomes_its_error(
    reason: str, kind: type[LaunchError], parts: list[str]
) -> None:
    error = explain_refusal(reason)
    assert type(error) is kind
    assert error.text == reason
    assert reason.rstrip(".") in str(error)
    for part in parts:
        assert part in str(error)


def test_a_refusal_has_its_detail() -> None:
    error = explain_refusal("ATTRIBUTE", CAPACITY)
    assert isinstance(error, CapacityError)
    assert f"ATTRIBUTE: {CAPACITY} Try" in str(error)


def test_spot_has_a_quota_and_an_advice_of_its_own() -> None:
    quota = str(explain_refusal(VCPUS, spot=True))
    assert "Fargate Spot vCPU resource count" in quota
    assert "L-36FBB829" in quota
    assert "spot=0" in str(explain_refusal(CAPACITY, spot=True))
    assert "spot=0" not in str(explain_refusal(CAPACITY))
