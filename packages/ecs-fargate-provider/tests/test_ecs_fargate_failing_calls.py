"""Whichever call of a start, a reconnect or a stop fails: nothing is left, or nothing is lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import pytest
from botocore.exceptions import ClientError
from ecs_fargate_tiny import Account, running

from dockerparallel import DockerCluster, DockerParallelError, ExternalServer
from dockerparallel_fargate_harness import FargateHarness

pytest_plugins = ("ecs_fargate_rig", "ecs_fargate_accounts")

PARTS = 4
CODE, WORDS = "ValidationException", "made to fail by the test"


def long_cluster(account: Account) -> DockerCluster:
    """Return a cluster that uses all that there is: a secret of its own for a long variable."""
    cluster = account.cluster(workers=2)
    cluster.state.worker_container.environment["LONG"] = "x" * 9000
    return cluster


def cluster_with_external_server(account: Account) -> DockerCluster:
    server = ExternalServer(public_ip="127.0.0.1", public_port=account.port, password="theirs")
    return account.cluster(workers=2, cluster_options={"private_server": server})


class Moment(NamedTuple):
    """A call that is to fail: which action, and how many of it pass before."""

    action: str
    passed: int

    def order(self, harness: FargateHarness, *, after_effect: bool = False) -> None:
        """Let the harness refuse it, or take its answer away."""
        harness.fail(self.action, CODE, WORDS, skip=self.passed, after_effect=after_effect)

    def came(self, harness: FargateHarness) -> bool:
        """Tell whether it came; a quick run asks less often how tasks are than one before it."""
        made = sum(call.action == self.action for call in harness.calls())
        if made > self.passed:
            return True
        assert self.action == "DescribeTasks", self
        # What was ordered is to fail nobody else.
        ecs = harness.client("ecs")
        for _ in range(made, self.passed):
            with suppress(ClientError):
                ecs.describe_tasks(cluster="none", tasks=["none"])
        with pytest.raises(ClientError, match=WORDS):
            ecs.describe_tasks(cluster="none", tasks=["none"])
        return False


def moments(
    harness: FargateHarness, act: Callable[[], object], *, changes: bool = False
) -> list[Moment]:
    """Return all calls of an act, in their order.

    Parameters
    ----------
    changes
        Leave out those that only read: whether their answer is lost or refused is the same.
    """
    harness.clear_calls()
    act()
    made: Counter[str] = Counter()
    found = []
    for call in harness.calls():
        if not (changes and call.action.startswith(("Describe", "Get", "List"))):
            found.append(Moment(call.action, made[call.action]))
        made[call.action] += 1
    return found


def failed(harness: FargateHarness) -> str:
    """Return the action that was made to fail, empty where none was called."""
    found = [call.action for call in harness.calls() if call.error_code == CODE]
    assert len(found) <= 1
    return "".join(found)


def error_of(act: Callable[[], object]) -> DockerParallelError | None:
    """Return what an act fails with, ``None`` where it does not fail."""
    try:
        act()
    except DockerParallelError as error:
        return error
    return None


@pytest.mark.parametrize("after_effect", [False, True], ids=["refused", "lost"])
@pytest.mark.parametrize(
    ("make", "part"),
    [(long_cluster, part) for part in range(PARTS)]
    # Every other call is enough, as most are the same.
    + [(cluster_with_external_server, part) for part in range(0, PARTS, 2)],
)
def test_a_start_that_fails_leaves_nothing(
    account: Account,
    harness: FargateHarness,
    make: Callable[[Account], DockerCluster],
    part: int,
    after_effect: bool,
) -> None:
    for moment in moments(harness, make(account).start, changes=after_effect)[part::PARTS]:
        harness.reset()
        cluster = make(account)
        moment.order(harness, after_effect=after_effect)
        error = error_of(cluster.start)
        if not moment.came(harness):
            cluster.stop()
            continue
        assert WORDS in str(error), moment
        assert failed(harness) == moment.action
        notes = getattr(error, "__notes__", [])
        assert harness.left() == {}, f"after {moment}: {notes}"
        assert notes == [], f"after {moment}"


@pytest.mark.parametrize("part", range(2))
def test_a_start_that_failed_can_be_tried_again(
    account: Account, harness: FargateHarness, part: int
) -> None:
    for moment in moments(harness, account.cluster().start)[part :: 4 * PARTS]:
        harness.reset()
        cluster = account.cluster()
        moment.order(harness)
        assert error_of(cluster.start) or not moment.came(harness), moment
        cluster.start()
        running(cluster, 2)


def test_a_reconnect_that_fails_takes_nothing_away(
    account: Account, harness: FargateHarness
) -> None:
    running(account.started(), 2)
    before, tasks = harness.left(), {task["taskArn"] for task in account.tasks()}
    calls = moments(harness, account.cluster(poll_interval=5.0).reconnect)
    assert len(calls) > 5
    for moment in calls:
        harness.clear_calls()
        cluster = account.cluster(poll_interval=5.0)
        moment.order(harness)
        error = error_of(cluster.reconnect)
        if moment.came(harness):
            assert WORDS in str(error), moment
            assert failed(harness) == moment.action
        assert harness.left() == before, moment
        assert {task["taskArn"] for task in account.tasks()} == tasks, moment
        cluster.reconnect()
        assert sum(cluster.worker_numbers()[:2]) == 2


def test_a_stop_that_fails_can_be_finished(account: Account, harness: FargateHarness) -> None:
    cluster = long_cluster(account)
    cluster.start()
    calls = moments(harness, cluster.stop)
    after = harness.left()
    kinds = {"vpcs", "subnets", "internet_gateways", "route_tables", "security_groups", "roles"}
    assert set(after) == kinds | {"log_groups", "clusters", "task_definitions"}
    for moment in calls:
        for after_effect in (False, True):
            cluster = long_cluster(account)
            cluster.start()
            harness.clear_calls()
            moment.order(harness, after_effect=after_effect)
            error = error_of(cluster.stop)
            assert error is None or re.search(f"{WORDS}|still there after", str(error))
            if moment.came(harness):
                assert failed(harness) == moment.action
                # A task that ended all the same is not worth an error.
                assert error or (after_effect and moment.action == "StopTask"), moment
            cluster.stop()
            ended = f"after {moment}"
            assert account.tasks() == [], ended
            left = harness.left()
            assert {kind: left.get(kind) for kind in after if kind != "task_definitions"} == {
                kind: after[kind] for kind in after if kind != "task_definitions"
            }, ended
            assert set(left) == set(after), ended
