"""Tasks: what the harness knows of each, and how the API shows it."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from dockerparallel_fargate_harness.sizes import Size

STATUSES = (
    "PROVISIONING",
    "PENDING",
    "RUNNING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
)


_numbers = itertools.count(1)


@dataclass
class TaskContainer:
    """One container of a task.

    Parameters
    ----------
    definition : dict
        Its ``containerDefinition`` with the overrides of this task merged in.
    arn : str
        Its ARN.
    status : str, default "PENDING"
        Its ``lastStatus``.
    docker_id : str, default ""
        The id of the Docker container, empty before there is one.
    exit_code : int, optional
        How it ended, None while it has not.
    reason : str, default ""
        Why it ended, where there is more to say than the exit code.
    shown_of_log : int, default 0
        How many lines of its output are in its log stream.
    environment : dict
        The environment with the secrets resolved, filled in before it starts.
    """

    definition: dict[str, Any]
    arn: str
    status: str = "PENDING"
    docker_id: str = ""
    exit_code: int | None = None
    reason: str = ""
    shown_of_log: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name in the task definition."""
        return str(self.definition["name"])

    @property
    def essential(self) -> bool:
        """Whether the task stops when it ends."""
        return bool(self.definition.get("essential", True))


@dataclass
class Network:
    """Where a task is in the network.

    Parameters
    ----------
    subnet : str
        The id of its subnet.
    groups : list of str
        The ids of its security groups.
    public : bool
        Whether it has a public address.
    interface : str
        The id of its network interface.
    mac : str
        The address of the interface.
    private_address, public_address : str, default ""
        Empty before they are known, the public one also where there is none. The private one is
        moto's own first; it is not shown before it is that of the container.
    settled : bool, default False
        Whether the private address is that of the container.
    attachment : str
        The id of the attachment.
    status : str, default "PRECREATED"
        The status of the attachment.
    """

    subnet: str
    groups: list[str]
    public: bool
    interface: str = ""
    mac: str = ""
    private_address: str = ""
    public_address: str = ""
    settled: bool = False
    attachment: str = field(default_factory=lambda: str(uuid4()))
    status: str = "PRECREATED"

    @property
    def shown_address(self) -> str:
        """The private address as the API shows it: it never changes once it is shown."""
        return self.private_address if self.settled else ""

    def as_api(self) -> dict[str, Any]:
        """Return the attachment as DescribeTasks shows it."""
        address = self.shown_address
        details = {
            "subnetId": self.subnet,
            "networkInterfaceId": self.interface,
            "macAddress": self.mac,
            "privateDnsName": f"ip-{address.replace('.', '-')}.ec2.internal" if address else "",
            "privateIPv4Address": address,
        }
        return {
            "id": self.attachment,
            "type": "ElasticNetworkInterface",
            "status": self.status,
            "details": [{"name": key, "value": value} for key, value in details.items() if value],
        }


@dataclass
class Task:
    """A task of Fargate, from RunTask until it is forgotten.

    The state is changed under the harness's lock only.
    """

    id: str
    arn: str
    region: str
    cluster: str
    cluster_arn: str
    definition_arn: str
    group: str
    size: Size
    network: Network
    containers: list[TaskContainer]
    launch_type: str
    capacity_provider: str | None = None
    zone: str = ""
    platform_version: str = "1.4.0"
    architecture: str = "x86_64"
    started_by: str = ""
    tags: list[dict[str, str]] = field(default_factory=list)
    overrides: dict[str, Any] = field(default_factory=dict)
    execution_role: str = ""
    task_role: str = ""
    init_process: bool = False
    status: str = "PROVISIONING"
    desired_status: str = "RUNNING"
    stop_code: str = ""
    stopped_reason: str = ""
    times: dict[str, float] = field(default_factory=lambda: {"createdAt": time.time()})
    version: int = 1
    number: int = field(default_factory=_numbers.__next__)
    phase: str = "waiting"
    """How far its containers are: waiting, starting, running, over."""
    moving: threading.Lock = field(default_factory=threading.Lock)
    """Held while its containers are started or removed."""

    @property
    def active(self) -> bool:
        """Whether it is not stopped."""
        return self.status != "STOPPED"

    def enter(self, status: str, *times: str) -> None:
        """Change the status, and note now as those times, such as ``"startedAt"``."""
        self.status = status
        self.version += 1
        now = time.time()
        for name in times:
            self.times.setdefault(name, now)

    def as_api(self, *, with_tags: bool) -> dict[str, Any]:
        """Return the task as the API shows it."""
        shown = {
            "taskArn": self.arn,
            "clusterArn": self.cluster_arn,
            "taskDefinitionArn": self.definition_arn,
            "group": self.group,
            "lastStatus": self.status,
            "desiredStatus": self.desired_status,
            "connectivity": "CONNECTED" if "startedAt" in self.times else None,
            "launchType": self.launch_type,
            "capacityProviderName": self.capacity_provider,
            "platformVersion": self.platform_version,
            "platformFamily": "Linux",
            "availabilityZone": self.zone,
            "cpu": str(self.size.cpu),
            "memory": str(self.size.memory),
            "startedBy": self.started_by or None,
            "stopCode": self.stop_code or None,
            "stoppedReason": self.stopped_reason or None,
            "enableExecuteCommand": False,
            "ephemeralStorage": {"sizeInGiB": 20},
            "healthStatus": "UNKNOWN",
            "version": self.version,
            "attributes": [{"name": "ecs.cpu-architecture", "value": self.architecture}],
            "overrides": {"containerOverrides": [], "inferenceAcceleratorOverrides": []}
            | self.overrides,
            "attachments": [self.network.as_api()],
            "containers": [self._container(container) for container in self.containers],
            "tags": self.tags if with_tags else [],
            **self.times,
        }
        return {key: value for key, value in shown.items() if value is not None}

    def _container(self, container: TaskContainer) -> dict[str, Any]:
        interface = {
            "attachmentId": self.network.attachment,
            "privateIpv4Address": self.network.shown_address,
        }
        shown = {
            "containerArn": container.arn,
            "taskArn": self.arn,
            "name": container.name,
            "image": container.definition["image"],
            "runtimeId": container.docker_id or None,
            "lastStatus": container.status,
            "exitCode": container.exit_code,
            "reason": container.reason or None,
            "networkInterfaces": [interface] if self.network.shown_address else [],
            "healthStatus": "UNKNOWN",
            "cpu": str(container.definition.get("cpu", 0)),
        }
        return {key: value for key, value in shown.items() if value is not None}
