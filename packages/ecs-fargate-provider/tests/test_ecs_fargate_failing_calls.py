"""Whichever call of a start, a reconnect or a stop fails: nothing is left, or nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
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


def number_of_calls(harness: FargateHarness, act: Callable[[], object]) -> int:
    harness.clear_calls()
    act()
    return len(harness.calls())


def numbers(
    harness: FargateHarness, act: Callable[[], object], part: int, *, changes: bool = False
) -> list[int]:
    """Return the numbers of those calls of an act that belong to a part.

    Parameters
    ----------
    changes
        Leave out those that only read: whether their answer is lost or refused is the same.
    """
    number_of_calls(harness, act)
    wanted = [
        number
        for number, call in enumerate(harness.calls())
        if not (changes and call.action.startswith(("Describe", "Get", "List")))
    ]
    return wanted[part::PARTS]


def failed(harness: FargateHarness) -> str:
    """Return the action that was made to fail, empty where none was called."""
    found = [call.action for call in harness.calls() if call.error_code == CODE]
    assert len(found) <= 1
    return "".join(found)


def error_of(act: Callable[[], object]) -> str:
    """Return what an act fails with, empty where it does not fail."""
    try:
        act()
    except DockerParallelError as error:
        return str(error)
    return ""


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
    for number in numbers(harness, make(account).start, part, changes=after_effect):
        harness.reset()
        cluster = make(account)
        harness.fail("*", CODE, WORDS, skip=number, after_effect=after_effect)
        with pytest.raises(DockerParallelError, match=WORDS) as caught:
            cluster.start()
        action = failed(harness)
        assert action
        notes = getattr(caught.value, "__notes__", [])
        assert harness.left() == {}, f"after {action} (call {number}): {notes}"
        assert notes == [], f"after {action} (call {number})"


@pytest.mark.parametrize("part", range(2))
def test_a_start_that_failed_can_be_tried_again(
    account: Account, harness: FargateHarness, part: int
) -> None:
    for number in numbers(harness, account.cluster().start, part)[::4]:
        harness.reset()
        cluster = account.cluster()
        harness.fail("*", CODE, WORDS, skip=number)
        with pytest.raises(DockerParallelError):
            cluster.start()
        cluster.start()
        running(cluster, 2)


def test_a_reconnect_that_fails_takes_nothing_away(
    account: Account, harness: FargateHarness
) -> None:
    running(account.started(), 2)
    before, tasks = harness.left(), {task["taskArn"] for task in account.tasks()}
    calls = number_of_calls(harness, account.cluster(poll_interval=5.0).reconnect)
    assert calls > 5
    for number in range(calls):
        harness.clear_calls()
        cluster = account.cluster(poll_interval=5.0)
        harness.fail("*", CODE, WORDS, skip=number)
        with pytest.raises(DockerParallelError, match=WORDS):
            cluster.reconnect()
        action = failed(harness)
        assert action
        assert harness.left() == before, action
        assert {task["taskArn"] for task in account.tasks()} == tasks, action
        cluster.reconnect()
        assert sum(cluster.worker_numbers()[:2]) == 2


def test_a_stop_that_fails_can_be_finished(account: Account, harness: FargateHarness) -> None:
    cluster = long_cluster(account)
    cluster.start()
    calls = number_of_calls(harness, cluster.stop)
    after = harness.left()
    kinds = {"vpcs", "subnets", "internet_gateways", "route_tables", "security_groups", "roles"}
    assert set(after) == kinds | {"log_groups", "clusters", "task_definitions"}
    for number in range(calls):
        for after_effect in (False, True):
            cluster = long_cluster(account)
            cluster.start()
            harness.clear_calls()
            harness.fail("*", CODE, WORDS, skip=number, after_effect=after_effect)
            error = error_of(cluster.stop)
            assert re.search(f"{WORDS}|still there after|^$", error)
            action = failed(harness)
            assert action
            # A task that ended all the same is not worth an error.
            assert error or (after_effect and action == "StopTask"), f"{action} (call {number})"
            cluster.stop()
            ended = f"after {action} (call {number})"
            assert account.tasks() == [], ended
            left = harness.left()
            assert {kind: left.get(kind) for kind in after if kind != "task_definitions"} == {
                kind: after[kind] for kind in after if kind != "task_definitions"
            }, ended
            assert set(left) == set(after), ended
