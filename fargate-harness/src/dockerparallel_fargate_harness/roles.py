"""The roles of tasks: whether ECS may assume them, and what they allow."""

from __future__ import annotations

from dockerparallel_fargate_harness import moto_state
from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.policy import evaluate, statements, values
from dockerparallel_fargate_harness.wire import ACCOUNT

TASKS_SERVICE = "ecs-tasks.amazonaws.com"


def check_assumable(arn: str, region: str) -> None:
    """Check that a role exists and trusts ECS's tasks; an empty ARN is no role, and passes.

    Raises
    ------
    AwsError
        ECS cannot assume it.
    """
    role = moto_state.role(arn) if arn else None
    if arn and (role is None or not _trusts(role, region)):
        raise AwsError(
            "ClientException",
            f"ECS was unable to assume the role '{arn}' that was provided for this task. Please "
            "verify that the role being passed has the proper trust relationship and permissions "
            "and that your IAM user has permissions to pass this role.",
        )


def allows(arn: str, action: str, resource: str) -> bool:
    """Tell whether the policies of a role allow an action on a resource."""
    role = moto_state.role(arn) if arn else None
    return role is not None and evaluate(role.policies, action, resource).allowed


def session_of(arn: str, task: str) -> str:
    """Return the ARN under which a task acts with a role."""
    return f"arn:aws:sts::{ACCOUNT}:assumed-role/{arn.rpartition('/')[2]}/{task}"


def _trusts(role: moto_state.Role, region: str) -> bool:
    named = [one for one in statements(role.trust) if _names_tasks(one.get("Principal"))]
    context = {
        "aws:SourceAccount": ACCOUNT,
        "aws:SourceArn": f"arn:aws:ecs:{region}:{ACCOUNT}:*",
    }
    return evaluate([{"Statement": named}], "sts:AssumeRole", role.arn, context).allowed


def _names_tasks(principal: object) -> bool:
    if isinstance(principal, dict):
        return TASKS_SERVICE in values(principal.get("Service") or [])
    return principal == "*"
