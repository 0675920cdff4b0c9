"""The two documents of the execution role: who may assume it, and what it may do then.

The role is what ECS and the Fargate agent use to start a task: to pull its image, to read the
secrets that go into its environment, and to write its log. The code in the task never has it.
"""

from __future__ import annotations

from typing import Any

from dockerparallel_ecs_fargate_provider.options import Options

VERSION = "2012-10-17"
"""Of the language of policies."""

SERVICE = "ecs-tasks.amazonaws.com"
"""Who assumes the roles of tasks."""


def log_group_name(cluster_name: str) -> str:
    """Return the log group of our own."""
    return f"/dockerparallel/{cluster_name}"


def log_group_of(options: Options) -> str:
    """Return the log group of the user, or ours, whether it exists or not."""
    return options.log_group or log_group_name(options.cluster_name)


def role_name(cluster_name: str, region: str) -> str:
    """Return the execution role of our own; roles are of no region, so its name has it."""
    return f"dockerparallel-{cluster_name}-{region}"


def trust_policy(account: str) -> dict[str, Any]:
    """Return who may assume a role of tasks: ECS, on behalf of this account alone.

    Parameters
    ----------
    account
        Number of the account. Without the condition, ECS could be made to use the role for
        someone else ("confused deputy", developer guide of ECS, "Task execution IAM role").
    """
    return {
        "Version": VERSION,
        "Statement": [
            {
                "Sid": "TasksOfThisAccount",
                "Effect": "Allow",
                "Principal": {"Service": SERVICE},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": account}},
            }
        ],
    }


def execution_role_policy(
    *,
    cluster_name: str,
    log_group: str,
    account: str,
    region: str,
    partition: str = "aws",
    kms_key_id: str | None = None,
) -> dict[str, Any]:
    """Return what the execution role may do: start the tasks of one cluster, and nothing else.

    Parameters
    ----------
    cluster_name, log_group, kms_key_id
        As the provider uses them.
    account, region, partition
        Where.
    """

    def arn(service: str, resource: str) -> str:
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    statements: list[dict[str, Any]] = [
        {
            "Sid": "Parameters",
            "Effect": "Allow",
            "Action": "ssm:GetParameters",
            "Resource": arn("ssm", f"parameter/dockerparallel/{cluster_name}/*"),
        },
        {
            "Sid": "Secrets",
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": arn("secretsmanager", f"secret:dockerparallel/{cluster_name}/*"),
        },
        {
            "Sid": "Log",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": arn("logs", f"log-group:{log_group}:*"),
        },
        # This action is of no resource.
        {
            "Sid": "Registry",
            "Effect": "Allow",
            "Action": "ecr:GetAuthorizationToken",
            "Resource": "*",
        },
        {
            "Sid": "Images",
            "Effect": "Allow",
            "Action": [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
            ],
            "Resource": arn("ecr", "repository/*"),
        },
    ]
    if kms_key_id is not None:
        statements.append(
            key_statement("Key", ["kms:Decrypt"], kms_key_id, partition, region, account)
        )
    return {"Version": VERSION, "Statement": statements}


def key_statement(
    sid: str, actions: list[str], key: str, partition: str, region: str, account: str
) -> dict[str, Any]:
    """Return the statement that lets a key of KMS be used, named by id, ARN or alias.

    An alias cannot stand as a resource of a policy: it names the key by a condition (developer
    guide of KMS, "kms:ResourceAliases").
    """
    keys = f"arn:{partition}:kms:{region}:{account}:key/"
    statement: dict[str, Any] = {"Sid": sid, "Effect": "Allow", "Action": actions}
    alias = key.partition(":alias/")[2] if key.startswith("arn:") else key.partition("alias/")[2]
    if alias:
        statement["Resource"] = f"{keys}*"
        statement["Condition"] = {
            "ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{alias}"}
        }
    else:
        statement["Resource"] = key if key.startswith("arn:") else f"{keys}{key}"
    return statement
