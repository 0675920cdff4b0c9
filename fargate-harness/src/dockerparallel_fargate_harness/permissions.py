"""Check calls against an IAM policy, with the permissions that a call needs besides its own.

Source: AWS Service Authorization Reference; Amazon ECS Developer Guide, "Grant permission to tag
resources on creation"; IAM User Guide, "Grant a user permissions to pass a role".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dockerparallel_fargate_harness import moto_state, moto_tags
from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.permission_resources import (
    created_by,
    log_groups,
    resources_of,
)
from dockerparallel_fargate_harness.policy import Context, evaluate
from dockerparallel_fargate_harness.roles import TASKS_SERVICE
from dockerparallel_fargate_harness.rules_run_task import role_of
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.wire import ACCOUNT, FORM_SERVICES, AwsRequest

USER = f"arn:aws:sts::{ACCOUNT}:user/moto"
"""Who calls: whom sts:GetCallerIdentity of moto names."""
NEEDS_NONE = frozenset({("sts", "GetCallerIdentity")})
TAG_ACTIONS = {
    "ecs": "ecs:TagResource",
    "ec2": "ec2:CreateTags",
    "ssm": "ssm:AddTagsToResource",
    "secretsmanager": "secretsmanager:TagResource",
    "logs": "logs:TagResource",
    "iam": "iam:TagRole",
}
_TAGGING = frozenset(
    {"TagResource", "CreateTags", "AddTagsToResource", "TagRole", "TagLogGroup", "TagPolicy"}
)


@dataclass(frozen=True)
class Need:
    """One permission that a call needs.

    Parameters
    ----------
    action : str
        Such as ``"ecs:RunTask"``.
    resource : str
        The ARN on which it is needed, or ``"*"``.
    context : dict
        The condition keys that AWS knows for it.
    """

    action: str
    resource: str
    context: Context = field(default_factory=dict)


def check(state: State, request: AwsRequest) -> None:
    """Check a call against the policy that the test has set, if it has.

    Raises
    ------
    AwsError
        A permission is missing.
    """
    if state.policy is None or (request.service, request.action) in NEEDS_NONE:
        return
    for need in needs_of(state, request):
        verdicts = [
            evaluate([state.policy], need.action, resource, need.context)
            for resource in log_groups(need.resource)
        ]
        if any(verdict.explicit_deny for verdict in verdicts):
            raise _refusal(request, need, "with an explicit deny in an identity-based policy")
        if not any(verdict.allowed for verdict in verdicts):
            why = f"because no identity-based policy allows the {need.action} action"
            doubts = "; ".join({verdict.why for verdict in verdicts if verdict.why})
            raise _refusal(request, need, why + (f" ({doubts})" if doubts else ""))


def needs_of(state: State, request: AwsRequest) -> Iterator[Need]:
    """Yield the permissions that a call needs, its own first."""
    tags = request_tags(request)
    asked: dict[str, str | list[str]] = {
        f"aws:RequestTag/{key}": value for key, value in tags.items()
    }
    asked |= {"aws:TagKeys": list(tags)} if tags else {}
    own = f"{request.service}:{request.action}"
    for resource in resources_of(request):
        held = _resource_tags(state, request, resource)
        context = {**asked, **held, **_context(request)}
        yield Need(own, resource, context)
    if tags and request.action not in _TAGGING:
        action = TAG_ACTIONS.get(request.service, own)
        creation = {f"{request.service}:CreateAction": request.action}
        for resource in created_by(request):
            yield Need(action, resource, {**asked, **creation, **_context(request)})
    for role in _passed_roles(request):
        yield Need("iam:PassRole", role, {"iam:PassedToService": TASKS_SERVICE})


def request_tags(request: AwsRequest) -> dict[str, str]:
    """Return the tags that a call gives, in whichever of the shapes its service has for them."""
    given = request.parameters.get("tags") or request.parameters.get("Tags") or []
    if isinstance(given, Mapping):
        return {str(key): str(value) for key, value in given.items()}
    items = list(given)
    for specification in request.items("TagSpecifications"):
        items += specification.get("Tags") or []
    return {
        str(item.get("key", item.get("Key"))): str(item.get("value", item.get("Value", "")))
        for item in items
    }


def _context(request: AwsRequest) -> dict[str, str]:
    found = {"aws:RequestedRegion": request.region, "aws:PrincipalAccount": ACCOUNT}
    if request.service == "ecs":
        cluster = request.text("cluster", "default").rpartition("/")[2]
        found["ecs:cluster"] = f"arn:aws:ecs:{request.region}:{ACCOUNT}:cluster/{cluster}"
    if service := request.text("AWSServiceName"):
        found["iam:AWSServiceName"] = service
    if request.service == "iam" and (policy := request.text("PolicyArn")):
        found["iam:PolicyARN"] = policy
    if (
        request.service == "ec2"
        and (vpc := request.text("VpcId"))
        and request.action.startswith("Create")
    ):
        found["ec2:Vpc"] = f"arn:aws:ec2:{request.region}:{ACCOUNT}:vpc/{vpc}"
    return found


def _resource_tags(state: State, request: AwsRequest, resource: str) -> dict[str, str]:
    if ":task/" in resource:
        task = state.tasks.get(resource)
        tags = {tag["key"]: tag.get("value", "") for tag in task.tags} if task else {}
    else:
        tags = moto_tags.tags_of(request.region, resource)
    prefixes = ("aws", request.service)
    return {f"{one}:ResourceTag/{key}": value for one in prefixes for key, value in tags.items()}


def _passed_roles(request: AwsRequest) -> set[str]:
    if request.action == "RegisterTaskDefinition":
        given = {request.text("executionRoleArn"), request.text("taskRoleArn")}
    elif request.action == "RunTask":
        try:
            definition = moto_state.task_definition(request.region, request.text("taskDefinition"))
        except AwsError:
            # RunTask itself will say that there is no such definition.
            return set()
        overrides: dict[str, Any] = request.parameters.get("overrides") or {}
        given = {role_of(definition, overrides, key) for key in ("executionRoleArn", "taskRoleArn")}
    else:
        return set()
    names = given - {""}
    return {name if name.startswith("arn:") else _role_arn(name) for name in names}


def _role_arn(name: str) -> str:
    role = moto_state.role(name)
    return role.arn if role else f"arn:aws:iam::{ACCOUNT}:role/{name}"


def _refusal(request: AwsRequest, need: Need, why: str) -> AwsError:
    what = (
        f"User: {USER} is not authorized to perform: {need.action} on resource: {need.resource} "
        f"{why}"
    )
    if request.service == "ec2":
        what = f"You are not authorized to perform this operation. {what}"
        return AwsError("UnauthorizedOperation", what, 403)
    if request.service in FORM_SERVICES:
        return AwsError("AccessDenied", what, 403)
    return AwsError("AccessDeniedException", what)
