"""Where the server is, and whether it answers there."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from dockerparallel import ServerAddress, Status
from dockerparallel_ecs_fargate_provider.errors import AWSError, AWSTimeoutError, TaskFailedError
from dockerparallel_ecs_fargate_provider.infrastructure import Site
from dockerparallel_ecs_fargate_provider.records import Role, TaskRecord

if TYPE_CHECKING:
    from dockerparallel import DockerCluster
    from dockerparallel_ecs_fargate_provider.deployment import Deployment
    from dockerparallel_ecs_fargate_provider.messages import Reporter

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 4.0


class ServerPlace:
    """Asks for the server's addresses, and for its network interface, once for each task.

    Parameters
    ----------
    deployment
        Of the provider.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._interface: tuple[str, dict[str, Any]] | None = None

    def task(self) -> TaskRecord | None:
        """Return the newest task of the server, or ``None`` where there was none."""
        tasks = self._deployment.book.tasks(Role.SERVER)
        return tasks[-1] if tasks else None

    def status(self, cluster: DockerCluster) -> Status:
        """Return INITIALIZING until the server accepts connections, STOPPED once it has ended."""
        self._deployment.book.refresh()
        task = self.task()
        if task is None or task.status is not Status.RUNNING:
            return Status.STOPPED if task is None else task.status
        address = cluster.runtime.server_address
        host = address.private_ip if cluster.config.server_client_same_lan else address.public_ip
        port = cluster.config.server_port
        answers = self._deployment.access.answers(cluster, task.arn, host, port)
        return Status.RUNNING if answers else Status.INITIALIZING

    def address(self, cluster: DockerCluster, reporter: Reporter) -> ServerAddress:
        """Wait for the addresses of the server's task; see the provider."""
        options = self._deployment.options
        port = cluster.config.server_port
        deadline = time.monotonic() + options.start_timeout
        pause = _FIRST_PAUSE
        while True:
            task = self.task()
            if task is None:
                return ServerAddress()
            reporter.tell_phases(cluster, [task], "The server's task")
            if not task.lives:
                if self._deployment.book.tasks(Role.WORKER) and task.arn not in reporter.ended:
                    # Taken over with workers that are there to be stopped.
                    return ServerAddress()
                raise TaskFailedError(reporter.end_of(cluster, task))
            private, public = task.private_ip, self._public_ip(task)
            if private is not None and (public is not None or not options.assign_public_ip):
                return ServerAddress(public, port if public else None, private, port)
            if time.monotonic() > deadline:
                raise AWSTimeoutError(
                    f"AWS has given the server's task {task.id} no address within "
                    f"{options.start_timeout:g} s; it is {task.data.get('lastStatus')}. Look at "
                    "it in the console of ECS, or give it more time: start_timeout=."
                )
            time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
            pause = min(2 * pause, _LONGEST_PAUSE)
            self._deployment.book.refresh(now=True)

    def let_client_in(self, cluster: DockerCluster) -> None:
        """Let this session reach a server that another session has started."""
        task = self.task()
        interface = None if task is None or not task.lives else self._asked(task)
        if interface is None:
            return
        site = Site(
            vpc_id=interface["VpcId"],
            subnet_ids=(interface["SubnetId"],),
            security_group_id=interface["Groups"][0]["GroupId"],
            execution_role_arn="",
            log_group="",
            ecs_cluster=self._deployment.options.cluster_name,
        )
        deployment = self._deployment
        deployment.access.open(site, cluster.config.server_port, deployment.store.tags)

    def _public_ip(self, task: TaskRecord) -> str | None:
        if not self._deployment.options.assign_public_ip:
            return None
        interface = self._asked(task)
        found = None if interface is None else interface.get("Association", {}).get("PublicIp")
        return None if found is None else str(found)

    def _asked(self, task: TaskRecord) -> dict[str, Any] | None:
        """Return the network interface of a task, asked for once."""
        wanted = task.network_interface
        if wanted is None:
            return None
        if self._interface is not None and self._interface[0] == wanted:
            return self._interface[1]
        try:
            answer = self._deployment.aws.call(
                "ec2", "DescribeNetworkInterfaces", NetworkInterfaceIds=[wanted]
            )
        except AWSError as error:
            # EC2 may not know yet what ECS knows already.
            if not error.code.endswith(".NotFound"):
                raise
            return None
        found: dict[str, Any] = answer["NetworkInterfaces"][0]
        if found.get("Association") or not self._deployment.options.assign_public_ip:
            self._interface = (wanted, found)
        return found
