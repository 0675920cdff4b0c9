"""The control API: what `FargateHarness` asks of the server.

A request is ``POST /harness/control/<method>`` with a JSON object of arguments; the answer is
``{"result": ...}``, or ``{"error": "..."}`` with status 400.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from dockerparallel_fargate_harness.account import Inventory, beyond, inventory
from dockerparallel_fargate_harness.addresses import PublicAddresses
from dockerparallel_fargate_harness.errors import ControlError
from dockerparallel_fargate_harness.faults import Fault, Refusal
from dockerparallel_fargate_harness.lifecycle import SPOT_REASON, Lifecycle
from dockerparallel_fargate_harness.managed_policies import add_managed_policies
from dockerparallel_fargate_harness.moto_app import MotoApp
from dockerparallel_fargate_harness.settings import Settings
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.tasks import Task
from dockerparallel_fargate_harness.wire import Answer

PREFIX = "/harness/control/"


class Control:
    """Answers the control API.

    Parameters
    ----------
    state : State
        The shared state.
    lifecycle : Lifecycle
        The life of the tasks.
    addresses : PublicAddresses
        The public addresses.
    moto : MotoApp
        What is forgotten by a reset.
    region : str
        The region whose resources are listed.
    """

    def __init__(
        self,
        state: State,
        lifecycle: Lifecycle,
        addresses: PublicAddresses,
        moto: MotoApp,
        region: str,
    ) -> None:
        self._state = state
        self._lifecycle = lifecycle
        self._addresses = addresses
        self._moto = moto
        self._region = region
        add_managed_policies()
        self._fresh: Inventory = self._inventory()
        self._methods: dict[str, Callable[..., Any]] = {
            "calls": self._calls,
            "clear_calls": state.calls.clear,
            "fail": lambda **fault: state.faults.add(Fault(**fault)),
            "refuse_capacity": lambda **refusal: state.faults.refuse(Refusal(**refusal)),
            "change_settings": self._change_settings,
            "settings": lambda: dataclasses.asdict(state.settings),
            "allow_only": self._allow_only,
            "reset": self._reset,
            "left": lambda: beyond(self._inventory(), self._fresh),
            "tasks": lambda: [self._shown(task) for task in list(state.tasks.values())],
            "logs_of": self._logs_of,
            "interrupt_spot": self._interrupt_spot,
            "vanish": lambda task: lifecycle.vanish(self._task(task)),
            "kill": lambda task: lifecycle.kill(self._task(task)),
        }

    def answer(self, path: str, body: bytes) -> Answer:
        """Answer a request of the control API."""
        name = path.removeprefix(PREFIX)
        if name not in self._methods:
            return _json({"error": f"no method {name!r}"}, 400)
        try:
            result = self._methods[name](**json.loads(body or b"{}"))
        except (ControlError, TypeError, ValueError) as error:
            return _json({"error": str(error)}, 400)
        return _json({"result": result}, 200)

    def _inventory(self) -> Inventory:
        return inventory(self._state, self._lifecycle.runtime, [self._region])

    def _calls(self, service: str | None = None, action: str | None = None) -> list[dict[str, Any]]:
        return [dataclasses.asdict(call) for call in self._state.calls.matching(service, action)]

    def _change_settings(self, **changes: Any) -> None:
        with self._state.lock:
            self._state.settings = self._state.settings.changed(changes)

    def _allow_only(self, policy: dict[str, Any] | None) -> None:
        with self._state.lock:
            self._state.policy = policy

    def _reset(self) -> None:
        self._lifecycle.forget_all()
        with self._state.lock:
            self._moto.reset()
            add_managed_policies()
            self._state.tokens.clear()
            self._state.policy = None
            self._state.settings = Settings()
        self._state.faults.clear()
        self._state.calls.clear()
        self._fresh = self._inventory()

    def _task(self, arn: str) -> Task:
        task = self._state.tasks.get(arn)
        if task is None:
            raise ControlError(f"no task {arn}")
        return task

    def _interrupt_spot(self, task: str) -> None:
        found = self._task(task)
        if found.capacity_provider != "FARGATE_SPOT":
            raise ControlError(f"{task} does not run on FARGATE_SPOT")
        self._lifecycle.stop(found, "SpotInterruption", SPOT_REASON)

    def _logs_of(self, task: str) -> str:
        containers = self._task(task).containers
        lines = [line for one in containers for line in self._lifecycle.runtime.lines(one)]
        return "".join(f"{line.text}\n" for line in lines)

    def _shown(self, task: Task) -> dict[str, Any]:
        first = task.containers[0]
        return {
            "arn": task.arn,
            "cluster": task.cluster,
            "status": task.status,
            "container_id": first.docker_id,
            "container_name": first.name,
            "private_address": task.network.private_address,
            "public_address": task.network.public_address,
            "open_ports": sorted(self._addresses.open_ports(task)),
            "tags": {tag["key"]: tag.get("value", "") for tag in task.tags},
            "started_by": task.started_by,
            "stop_code": task.stop_code,
            "stopped_reason": task.stopped_reason,
        }


def _json(value: Any, status: int) -> Answer:
    return Answer(status, "application/json", json.dumps(value).encode())
