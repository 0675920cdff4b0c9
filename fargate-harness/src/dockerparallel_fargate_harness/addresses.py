"""The public addresses of tasks: loopback addresses on which open ports are forwarded."""

from __future__ import annotations

import sys

from dockerparallel_fargate_harness import moto_network
from dockerparallel_fargate_harness.forwarding import Forwarder, loopback_addresses
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.tasks import Task

WIDEST_RANGE = 50


class PublicAddresses:
    """Gives tasks their public addresses, and forwards the ports that their groups open.

    A port is open where a rule of a security group of the task admits the address that the client
    has on the internet. Called under the harness's lock.

    Parameters
    ----------
    state : State
        The shared state.
    forward : bool
        Whether there are containers to forward to.
    """

    def __init__(self, state: State, *, forward: bool) -> None:
        self._state = state
        self._forwarder = Forwarder() if forward else None
        self._free = loopback_addresses()
        self._declared: dict[str, set[int]] = {}

    def assign(self, task: Task, exposed: set[int]) -> None:
        """Give a task a public address if it is to have one, and forward its open ports."""
        if not task.network.public:
            return
        task.network.public_address = next(self._free)
        mappings = [one for item in task.containers for one in item.definition["portMappings"]]
        self._declared[task.arn] = exposed | {int(one["containerPort"]) for one in mappings}
        self._forward(task)

    def release(self, task: Task) -> None:
        """Forward nothing to a task any more."""
        if self._declared.pop(task.arn, None) is not None and self._forwarder is not None:
            self._forwarder.drop(task.network.public_address)

    def refresh(self) -> None:
        """Forward what the security groups open now."""
        for task in self._state.tasks.values():
            if task.arn in self._declared:
                self._forward(task)

    def close(self) -> None:
        """Forward nothing any more."""
        if self._forwarder is not None:
            self._forwarder.close()

    def open_ports(self, task: Task) -> set[int]:
        """Return the TCP ports of a task that the client may reach through the internet."""
        declared = self._declared.get(task.arn, set())
        found: set[int] = set()
        for group in task.network.groups:
            for rule in moto_network.ingress(task.region, group):
                if rule.protocol not in {"tcp", "-1"}:
                    continue
                if not rule.admits(self._state.client_address):
                    continue
                if rule.last - rule.first < WIDEST_RANGE:
                    found.update(range(max(1, rule.first), rule.last + 1))
                else:
                    found.update(port for port in declared if rule.first <= port <= rule.last)
        return found

    def _forward(self, task: Task) -> None:
        if self._forwarder is None:
            return
        private, public = task.network.private_address, task.network.public_address
        try:
            ports = self.open_ports(task)
            self._forwarder.forward(public, {port: (private, port) for port in ports})
        except OSError as error:
            # The task runs on, as it does on AWS; only this port is not to be reached.
            sys.stderr.write(f"fargate-harness: {public} cannot be forwarded: {error}\n")
