"""On which resources AWS checks the permission of each call.

Source: AWS Service Authorization Reference, the pages of ECS, EC2, IAM, Systems Manager, Secrets
Manager and CloudWatch Logs. An action that is not here is checked on ``*``.
"""

from __future__ import annotations

from collections.abc import Callable

from dockerparallel_fargate_harness import moto_network, moto_state, moto_tags
from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.wire import ACCOUNT, AwsRequest

Resources = Callable[[AwsRequest], list[str]]
KIND_OF_PREFIX = {
    "vpc": "vpc",
    "subnet": "subnet",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "igw": "internet-gateway",
    "rtb": "route-table",
    "vpce": "vpc-endpoint",
    "nat": "natgateway",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
}
_EC2_NEW = {
    "CreateVpc": "vpc",
    "CreateSubnet": "subnet",
    "CreateSecurityGroup": "security-group",
    "CreateInternetGateway": "internet-gateway",
    "CreateRouteTable": "route-table",
    "CreateVpcEndpoint": "vpc-endpoint",
    "CreateNatGateway": "natgateway",
    "AllocateAddress": "elastic-ip",
}
_EC2_NAMES = (
    "VpcId",
    "SubnetId",
    "GroupId",
    "InternetGatewayId",
    "RouteTableId",
    "AllocationId",
    "NatGatewayId",
)


def resources_of(request: AwsRequest) -> list[str]:
    """Return the ARNs on which a call needs its permission, all of them; ``*`` for none."""
    if request.service == "ec2":
        return _ec2(request) or ["*"]
    by_service = _BY_SERVICE.get(request.service)
    return (by_service(request) if by_service else []) or ["*"]


def created_by(request: AwsRequest) -> list[str]:
    """Return the ARNs of what a call creates, on which it needs the permission for its tags."""
    if request.service == "ec2":
        kind = _EC2_NEW.get(request.action)
        return [_arn("ec2", request, f"{kind}/new")] if kind else []
    if request.service == "ecs":
        cluster = request.text("cluster", "default").rpartition("/")[2]
        path = {
            "CreateCluster": f"cluster/{request.text('clusterName', 'default')}",
            "RegisterTaskDefinition": f"task-definition/{request.text('family')}:0",
            "RunTask": f"task/{cluster}/new",
        }.get(request.action)
        return [_arn("ecs", request, path)] if path else []
    return resources_of(request)


def log_groups(arn: str) -> list[str]:
    """Return the two ways in which a policy may name a log group."""
    is_group = ":log-group:" in arn and ":log-stream:" not in arn
    return [arn, f"{arn}:*"] if is_group else [arn]


def _arn(service: str, request: AwsRequest, path: str) -> str:
    return f"arn:aws:{service}:{request.region}:{ACCOUNT}:{path}"


def _ec2(request: AwsRequest) -> list[str]:
    if request.action.startswith("Describe"):
        return []
    new = _EC2_NEW.get(request.action)
    found = [_arn("ec2", request, f"{new}/new")] if new else []
    names = [request.text(name) for name in _EC2_NAMES if request.text(name)]
    names += [str(item) for item in request.items("Resources")]
    names += [str(item) for item in request.items("VpcEndpointIds")]
    for name in names:
        kind = KIND_OF_PREFIX.get(name.partition("-")[0])
        found += [_arn("ec2", request, f"{kind}/{name}")] if kind else []
    if request.action in {"DisassociateRouteTable", "ReplaceRouteTableAssociation"}:
        table = moto_network.table_of_association(request.region, request.text("AssociationId"))
        found += [_arn("ec2", request, f"route-table/{table}")] if table else []
    return found


def _ecs(request: AwsRequest) -> list[str]:
    cluster = request.text("cluster", "default").rpartition("/")[2]
    if request.action in {"DeleteCluster", "PutClusterCapacityProviders", "UpdateCluster"}:
        return [_arn("ecs", request, f"cluster/{cluster}")]
    if request.action == "DescribeClusters":
        names = [str(name).rpartition("/")[2] for name in request.items("clusters")]
        return [_arn("ecs", request, f"cluster/{name}") for name in names]
    if request.action == "RunTask":
        return [_definition(request)]
    if request.action in {"StopTask", "DescribeTasks"}:
        names = [*request.items("tasks"), *filter(None, [request.text("task")])]
        short = [str(name).rpartition("/")[2] for name in names]
        return [_arn("ecs", request, f"task/{cluster}/{name}") for name in short]
    if request.action == "DeleteTaskDefinitions":
        return [
            _arn("ecs", request, f"task-definition/{str(name).rpartition('/')[2]}")
            for name in request.items("taskDefinitions")
        ]
    return [arn] if (arn := request.text("resourceArn")) else []


def _definition(request: AwsRequest) -> str:
    given = request.text("taskDefinition")
    try:
        return str(moto_state.task_definition(request.region, given).arn)
    except AwsError:
        # RunTask itself will say that there is none, to whom may run it.
        return _arn("ecs", request, f"task-definition/{given.rpartition('/')[2]}")


def _iam(request: AwsRequest) -> list[str]:
    if request.action == "CreateServiceLinkedRole":
        service = request.text("AWSServiceName")
        return [f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{service}/new"]
    if request.action == "CreatePolicy":
        path = request.text("Path", "/")
        return [f"arn:aws:iam::{ACCOUNT}:policy{path}{request.text('PolicyName')}"]
    if name := request.text("RoleName"):
        role = moto_state.role(name)
        path = request.text("Path", "/")
        return [role.arn if role else f"arn:aws:iam::{ACCOUNT}:role{path}{name}"]
    return [arn] if (arn := request.text("PolicyArn")) else []


def _ssm(request: AwsRequest) -> list[str]:
    names = [request.text("Name"), request.text("Path"), *request.items("Names")]
    if request.text("ResourceType") == "Parameter":
        names.append(request.text("ResourceId"))
    short = [
        str(name).partition(":parameter/")[2] or str(name).strip("/") for name in names if name
    ]
    return [_arn("ssm", request, f"parameter/{name}") for name in short]


def _secretsmanager(request: AwsRequest) -> list[str]:
    if request.action == "CreateSecret":
        return [_arn("secretsmanager", request, f"secret:{request.text('Name')}-AbCdEf")]
    identifier = request.text("SecretId")
    return [moto_tags.secret_arn(request.region, identifier)] if identifier else []


def _logs(request: AwsRequest) -> list[str]:
    if arn := request.text("resourceArn"):
        return [arn.removesuffix(":*")]
    group = request.text("logGroupName") or request.text("logGroupIdentifier")
    group = group.partition(":log-group:")[2].removesuffix(":*") or group
    if request.action == "DescribeLogGroups":
        return [_arn("logs", request, f"log-group:{request.text('logGroupNamePrefix')}")]
    if not group:
        return []
    stream = request.text("logStreamName")
    return [_arn("logs", request, f"log-group:{group}" + (f":log-stream:{stream}" * bool(stream)))]


_BY_SERVICE: dict[str, Resources] = {
    "ecs": _ecs,
    "iam": _iam,
    "ssm": _ssm,
    "secretsmanager": _secretsmanager,
    "logs": _logs,
}
