"""The IAM policy of whoever uses the provider: what it calls in one configuration, and no more.

Source of what limits which action: AWS's "Service Authorization Reference".

What it cannot do: whoever may write the policy of a role and pass it to tasks can do everything
that such a task can, which is anything. Where that is too much, have the execution role made by
somebody else from :func:`trust_policy` and :func:`execution_role_policy`, and give
``execution_role_arn``: then this policy allows neither.
"""

from __future__ import annotations

from typing import Any

from dockerparallel_ecs_fargate_provider import policy_statements as part
from dockerparallel_ecs_fargate_provider.options import Options
from dockerparallel_ecs_fargate_provider.role_policies import (
    VERSION,
    execution_role_policy,
    trust_policy,
)

__all__ = ["execution_role_policy", "gc_policy", "policy_document", "trust_policy"]

LONGEST = 6144
"""Characters that IAM takes in a managed policy, white space apart."""


def policy_document(
    options: Options,
    *,
    account: str,
    region: str,
    partition: str = "aws",
    cleanup: bool = False,
) -> dict[str, Any]:
    """Return the policy that a session needs to use the provider with these options.

    Printed by ``python -m dockerparallel_ecs_fargate_provider policy``; calls nothing. It lets a
    user find what is shared, make what is missing of it, run tasks in the ECS cluster
    ``cluster_name``, and take back what the same user has made, as after a start that failed.
    Parameters can be read and removed by who made them: IAM compares ``aws:userid`` with the tag
    ``dockerparallel:owner-id``. Someone who assumes a role is somebody else to IAM under another
    name of the session.

    Parameters
    ----------
    options
        Of the provider: what is given there need not be made, so that its actions are left out.
    account, region, partition
        Where.
    cleanup
        Whether the user may also remove what others have made for this ECS cluster, as
        ``cleanup(deep=True)`` and the removal of forgotten clusters do. Without it, removing is
        for the user's own, since a start that failed has to take back what it made.

    Returns
    -------
    dict
        A document of a managed policy, within IAM's limit of 6,144 characters for all but very
        long names.
    """
    scope = part.Scope(options, account, region, partition, cleanup=cleanup)
    statements = [
        *part.seeing(scope),
        *part.making(scope),
        *part.networking(scope),
        *part.removing(scope),
        *part.running(scope),
        *part.storing(scope),
    ]
    return {"Version": VERSION, "Statement": statements}


def gc_policy(
    options: Options, *, account: str, region: str, partition: str = "aws"
) -> dict[str, Any]:
    """Return the policy of a scheduled job that runs ``gc`` and nothing else.

    It may list and end the tasks of the ECS cluster and remove what clusters left of their
    secrets; it can read none of these.

    Parameters
    ----------
    options, account, region, partition
        As for :func:`policy_document`.
    """
    scope = part.Scope(options, account, region, partition)
    return {"Version": VERSION, "Statement": part.collecting(scope)}
