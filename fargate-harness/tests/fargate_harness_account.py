"""An account that is ready to run tasks, and waiting for what they do."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from botocore.config import Config

from dockerparallel_fargate_harness import FargateHarness

T = TypeVar("T")
WAIT_SECONDS = 60.0
# Every call of a test is one attempt, so that faults can be counted.
ONE_ATTEMPT = Config(retries={"total_max_attempts": 1}, max_pool_connections=20)
TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def policy(*actions: str, resource: str = "*", effect: str = "Allow") -> dict[str, Any]:
    """Return a policy document with one statement."""
    statement = {"Effect": effect, "Action": list(actions), "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def wait_for(look: Callable[[], T], seconds: float = WAIT_SECONDS) -> T:
    """Call until the result is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "what was waited for did not come about"
        time.sleep(0.02)
    return found


@functools.cache
def clients(harness: FargateHarness) -> list[Any]:
    """Return the clients of a harness, which are made once, since that takes a while."""
    names = ("ec2", "ecs", "iam", "logs", "ssm", "secretsmanager", "sts")
    return [harness.client(name, config=ONE_ATTEMPT) for name in names]


class Account:
    """A VPC with a public and a private subnet, a cluster, a role and a log group."""

    def __init__(self, harness: FargateHarness, image: str = "image") -> None:
        self.harness = harness
        self.image = image
        self.ec2, self.ecs, self.iam, self.logs, self.ssm, self.secrets, self.sts = clients(harness)
        self.vpc = self.ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
        self.public, self.private = (self.subnet(f"10.7.{number}.0/24") for number in (1, 2))
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.gateway = gateway
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        self.table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.ec2.create_route(
            RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
        )
        self.ec2.associate_route_table(RouteTableId=self.table, SubnetId=self.public)
        self.group = self.new_group("tasks")
        self.role = self.new_role("execution", policy("logs:*", "ssm:*", "secretsmanager:*"))
        self.ecs.create_cluster(clusterName="c", capacityProviders=["FARGATE", "FARGATE_SPOT"])
        self.logs.create_log_group(logGroupName="/tasks")

    def subnet(self, cidr: str) -> str:
        return str(self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr)["Subnet"]["SubnetId"])

    def new_group(self, name: str, vpc: str | None = None) -> str:
        made = self.ec2.create_security_group(
            GroupName=name, Description=name, VpcId=vpc or self.vpc
        )
        return str(made["GroupId"])

    def open(self, group: str, port: int, cidr: str) -> None:
        """Let a range of addresses in at a port."""
        self.ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": port,
                    "ToPort": port,
                    "IpRanges": [{"CidrIp": cidr}],
                }
            ],
        )

    def new_role(
        self, name: str, allowed: dict[str, Any] | None, trust: dict[str, Any] | None = None
    ) -> str:
        role = self.iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(trust or TRUST)
        )
        if allowed is not None:
            self.iam.put_role_policy(
                RoleName=name, PolicyName="p", PolicyDocument=json.dumps(allowed)
            )
        return str(role["Role"]["Arn"])

    def definition(self, **changes: Any) -> dict[str, Any]:
        """Return the arguments of a valid RegisterTaskDefinition, with changes; None drops."""
        arguments = {
            "family": "f",
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": [self.container()],
            **changes,
        }
        return {key: value for key, value in arguments.items() if value is not None}

    def container(self, **changes: Any) -> dict[str, Any]:
        """Return a container definition."""
        return {"name": "main", "image": self.image, "stopTimeout": 2, **changes}

    def awslogs(self, group: str = "/tasks", **options: str) -> dict[str, Any]:
        """Return the configuration of the log driver awslogs."""
        all_options = {
            "awslogs-group": group,
            "awslogs-region": "us-east-1",
            "awslogs-stream-prefix": "p",
            **options,
        }
        return {"logDriver": "awslogs", "options": all_options}

    def register(self, **changes: Any) -> str:
        made = self.ecs.register_task_definition(**self.definition(**changes))
        return str(made["taskDefinition"]["taskDefinitionArn"])

    def network(self, **changes: Any) -> dict[str, Any]:
        """Return a network configuration in the public subnet."""
        inner = {
            "subnets": [self.public],
            "securityGroups": [self.group],
            "assignPublicIp": "ENABLED",
            **changes,
        }
        return {"awsvpcConfiguration": inner}

    def run(self, definition: str | None = None, **changes: Any) -> dict[str, Any]:
        """Call RunTask with valid arguments and changes to them; None drops one."""
        arguments = {
            "cluster": "c",
            "taskDefinition": definition or self.register(),
            "launchType": "FARGATE",
            "networkConfiguration": self.network(),
            **changes,
        }
        arguments = {key: value for key, value in arguments.items() if value is not None}
        answer: dict[str, Any] = self.ecs.run_task(**arguments)
        return answer

    def start(self, definition: str | None = None, **changes: Any) -> str:
        """Start one task and return its ARN."""
        return str(self.run(definition, **changes)["tasks"][0]["taskArn"])

    def describe(self, arn: str) -> dict[str, Any]:
        """Return a task as DescribeTasks shows it."""
        found = self.ecs.describe_tasks(cluster="c", tasks=[arn], include=["TAGS"])
        task: dict[str, Any] = found["tasks"][0]
        return task

    def reaches(self, arn: str, status: str) -> dict[str, Any]:
        """Wait until a task has a status, and return it."""

        def look() -> dict[str, Any]:
            task = self.describe(arn)
            if task["lastStatus"] == "STOPPED" != status:
                raise AssertionError(task.get("stoppedReason"))
            return task if task["lastStatus"] == status else {}

        return wait_for(look)
