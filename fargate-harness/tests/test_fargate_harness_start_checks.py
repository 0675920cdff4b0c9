"""Tasks stop before they start where a role, a secret, a log group or a route is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fargate_harness_account import Account, policy


def start(account: Account, role: str | None = None, **container: Any) -> str:
    """Start a task with an execution role and return its ARN."""
    definition = account.register(
        containerDefinitions=[account.container(**container)],
        executionRoleArn=role or account.role,
    )
    return account.start(definition)


def failure(account: Account, arn: str) -> str:
    """Return why a task failed to start."""
    task = account.reaches(arn, "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    return str(task["stoppedReason"])


def test_the_log_group_must_exist(account: Account) -> None:
    arn = start(account, logConfiguration=account.awslogs("/none"))
    words = failure(account, arn)
    assert words.startswith("ResourceInitializationError: failed to validate logger args")
    assert "The specified log group does not exist." in words


def test_the_log_group_may_be_made_by_the_task(account: Account) -> None:
    log = account.awslogs("/new", **{"awslogs-create-group": "true"})
    account.reaches(start(account, logConfiguration=log), "RUNNING")
    assert account.logs.describe_log_streams(logGroupName="/new")["logStreams"]


@pytest.mark.parametrize("missing", ["logs:CreateLogStream", "logs:PutLogEvents"])
def test_the_role_must_allow_the_logs(account: Account, missing: str) -> None:
    allowed = {"logs:CreateLogStream", "logs:PutLogEvents"}
    narrow = account.new_role("narrow", policy(*sorted(allowed - {missing})))
    log = account.awslogs()
    words = failure(account, start(account, narrow, logConfiguration=log))
    assert f"is not authorized to perform: {missing}" in words
    enough = account.new_role("enough", policy(*sorted(allowed)))
    account.reaches(start(account, enough, logConfiguration=log), "RUNNING")


def test_a_parameter_must_exist_and_be_allowed(account: Account) -> None:
    secrets = [{"name": "A", "valueFrom": "/app/key"}]
    assert "invalid ssm parameters: /app/key" in failure(account, start(account, secrets=secrets))
    account.ssm.put_parameter(Name="/app/key", Value="v", Type="SecureString")
    account.reaches(start(account, secrets=secrets), "RUNNING")
    arn = "arn:aws:ssm:us-east-1:123456789012:parameter/app/*"
    fitting = account.new_role("fitting", policy("ssm:GetParameters", resource=arn))
    account.reaches(start(account, fitting, secrets=secrets), "RUNNING")
    other = account.new_role("other", policy("ssm:GetParameters", resource=arn.replace("app", "x")))
    words = failure(account, start(account, other, secrets=secrets))
    assert words.startswith("ResourceInitializationError: unable to pull secrets")
    assert "not authorized to perform: ssm:GetParameters" in words


def test_a_secret_must_exist_and_be_allowed(account: Account) -> None:
    made = account.secrets.create_secret(Name="s", SecretString=json.dumps({"k": "v"}))["ARN"]
    account.reaches(start(account, secrets=[{"name": "A", "valueFrom": made}]), "RUNNING")
    key = [{"name": "A", "valueFrom": f"{made}:other::"}]
    assert "did not contain json key other" in failure(account, start(account, secrets=key))
    gone = [{"name": "A", "valueFrom": made.replace("secret:s", "secret:t")}]
    assert "can't find the specified secret" in failure(account, start(account, secrets=gone))
    denied = account.new_role("denied", policy("secretsmanager:GetSecretValue"))
    account.iam.put_role_policy(
        RoleName="denied",
        PolicyName="deny",
        PolicyDocument=json.dumps(policy("secretsmanager:*", resource=made, effect="Deny")),
    )
    words = failure(account, start(account, denied, secrets=[{"name": "A", "valueFrom": made}]))
    assert "not authorized to perform: secretsmanager:GetSecretValue" in words


def test_attached_policies_count(account: Account) -> None:
    role = account.new_role("attached", None)
    made = account.iam.create_policy(PolicyName="p", PolicyDocument=json.dumps(policy("logs:*")))[
        "Policy"
    ]["Arn"]
    log = account.awslogs()
    assert "not authorized" in failure(account, start(account, role, logConfiguration=log))
    account.iam.attach_role_policy(RoleName="attached", PolicyArn=made)
    account.reaches(start(account, role, logConfiguration=log), "RUNNING")


def test_the_managed_policy_for_execution_counts(account: Account) -> None:
    arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
    role = account.new_role("managed", None)
    account.iam.attach_role_policy(RoleName="managed", PolicyArn=arn)
    account.reaches(start(account, role, logConfiguration=account.awslogs()), "RUNNING")


@pytest.mark.parametrize(("subnet", "public"), [("private", "ENABLED"), ("public", "DISABLED")])
def test_a_task_without_a_way_out_does_not_start(
    account: Account, subnet: str, public: str
) -> None:
    network = account.network(subnets=[getattr(account, subnet)], assignPublicIp=public)
    arn = account.start(networkConfiguration=network)
    words = failure(account, arn)
    assert "There is a connection issue between the task and Amazon ECR" in words


def test_endpoints_are_a_way_out(account: Account) -> None:
    network = account.network(subnets=[account.private], assignPublicIp="DISABLED")
    for service in ("ecr.api", "ecr.dkr"):
        account.ec2.create_vpc_endpoint(
            VpcId=account.vpc,
            ServiceName=f"com.amazonaws.us-east-1.{service}",
            VpcEndpointType="Interface",
            SubnetIds=[account.private],
        )
    account.reaches(account.start(networkConfiguration=network), "RUNNING")


def test_a_nat_gateway_is_a_way_out(account: Account) -> None:
    address = account.ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = account.ec2.create_nat_gateway(SubnetId=account.public, AllocationId=address)
    table = account.ec2.create_route_table(VpcId=account.vpc)["RouteTable"]["RouteTableId"]
    account.ec2.create_route(
        RouteTableId=table,
        DestinationCidrBlock="0.0.0.0/0",
        NatGatewayId=nat["NatGateway"]["NatGatewayId"],
    )
    account.ec2.associate_route_table(RouteTableId=table, SubnetId=account.private)
    network = account.network(subnets=[account.private], assignPublicIp="DISABLED")
    account.reaches(account.start(networkConfiguration=network), "RUNNING")
