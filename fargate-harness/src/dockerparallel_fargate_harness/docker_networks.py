"""The Docker networks of tasks: who may reach whom.

Tasks share a network where a security group that they have in common lets itself in. Any other
task has a network of its own, so that a missing rule really blocks. This machine reaches them all.

The networks are internal: nothing lets traffic out of them. Docker also drops what goes from one
network to another where they are not internal, but while it makes or removes any network, it takes
that rule away for a moment.
"""

from __future__ import annotations

import ipaddress
import secrets
import threading
from collections.abc import Iterator

import docker
import docker.types
from docker.errors import APIError
from docker.models.networks import Network

from dockerparallel_fargate_harness import moto_network
from dockerparallel_fargate_harness.removal import remove_network
from dockerparallel_fargate_harness.tasks import Task

# Shared address space (RFC 6598): no home or company network has it, nor Docker's own networks,
# of which an engine has only about 30 to give.
RANGE = ipaddress.ip_network("100.64.0.0/10")
PREFIX_LENGTH = 24
ATTEMPTS = 50


def shared_groups(task: Task) -> list[str]:
    """Return the security groups of a task that let their own members in.

    A group does by a rule with itself as the source, or with a range that contains its subnet.
    """
    subnet = moto_network.subnet(task.region, task.network.subnet)
    inside = ipaddress.ip_network(str(subnet.cidr_block))
    found = []
    for group in task.network.groups:
        for rule in moto_network.ingress(task.region, group):
            ranges = ipaddress.ip_network(rule.cidr, strict=False) if rule.cidr else None
            wide = isinstance(ranges, ipaddress.IPv4Network) and inside.subnet_of(ranges)  # type: ignore[arg-type]
            if rule.protocol in {"tcp", "-1"} and (rule.group == group or wide):
                found.append(group)
                break
    return found


class DockerNetworks:
    """Makes networks when the first task needs them, and removes them after the last.

    Parameters
    ----------
    client : docker.DockerClient
        The engine.
    labels : dict
        The labels of every network.
    internal : bool
        Whether they lead nowhere else.
    """

    def __init__(
        self, client: docker.DockerClient, labels: dict[str, str], *, internal: bool
    ) -> None:
        self._client = client
        self._internal = internal
        self._labels = labels
        self._lock = threading.Lock()
        self._networks: dict[str, Network] = {}
        self._users: dict[str, set[str]] = {}
        self._ranges = _ranges()

    def enter(self, task: Task, groups: list[str]) -> list[str]:
        """Return the ids of the networks for a task, of which there is at least one."""
        with self._lock:
            found = []
            for key in groups or [task.id]:
                if key not in self._networks:
                    self._networks[key] = self._create(key)
                self._users.setdefault(key, set()).add(task.arn)
                found.append(str(self._networks[key].id))
            return found

    def leave(self, task: Task) -> None:
        """Remove the networks that only this task still used."""
        with self._lock:
            for key, users in list(self._users.items()):
                users.discard(task.arn)
                if not users:
                    del self._users[key]
                    remove_network(self._networks.pop(key))

    def close(self) -> None:
        """Remove all networks."""
        with self._lock:
            for network in self._networks.values():
                remove_network(network)
            self._networks.clear()
            self._users.clear()

    def _create(self, key: str) -> Network:
        name = f"fargate-{key[:20]}-{secrets.token_hex(4)}"
        for attempt in range(1, ATTEMPTS + 1):
            pool = docker.types.IPAMPool(subnet=str(next(self._ranges)))
            try:
                return self._client.networks.create(
                    name,
                    driver="bridge",
                    ipam=docker.types.IPAMConfig(pool_configs=[pool]),
                    labels=self._labels,
                    internal=self._internal,
                )
            except APIError as error:
                # Another network of this machine has that range: the next one may be free.
                if "overlap" not in str(error).lower() or attempt == ATTEMPTS:
                    raise
        raise AssertionError


def _ranges() -> Iterator[ipaddress.IPv4Network]:
    """Yield ranges for ever, from a random one on, so that harnesses seldom collide."""
    count = 2 ** (PREFIX_LENGTH - RANGE.prefixlen)
    number = secrets.randbelow(count)
    while True:
        first = int(RANGE.network_address) + number * 2 ** (32 - PREFIX_LENGTH)
        yield ipaddress.IPv4Network((first, PREFIX_LENGTH))
        number = (number + 1) % count
