"""Promises P-31 to P-38: the server's death, stopping, failed starts, and clean-up."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dockerparallel import Capability, DockerCluster, DockerContainer
from dockerparallel.state import extension_call
from dockerparallel_conformance.disguise import disguised
from dockerparallel_conformance.promises import promise
from dockerparallel_conformance.provider_checks.leftovers import (
    fail_as_planted,
    require_gone,
    require_undone,
)
from dockerparallel_conformance.subject import PACKED_LIMIT, Subject


class EndingPromises:
    """What a provider promises when a cluster ends, or does not come up."""

    @promise("P-31", Capability.SERVER_STATUS)
    def test_p31_a_dead_server_is_noticed(self, subject: Subject) -> None:
        """A server that died is noticed.

        ``server_status`` says stopped, in bounded time, however the server has ended. The reason
        that the provider tells then shows no secret.

        Troubleshooting: the status is remembered; a word of the platform for an ended container
        is not translated; or, for a process, a zombie is taken for alive.
        """
        cluster = _with_dead_server(subject)
        subject.wait_until(
            lambda: not cluster.is_server_running(),
            "is_server_running() is False after the server was killed",
        )
        subject.require(
            cluster.config.server_password not in cluster.state.server_stop_reason,
            "server_stop_reason() shows the password",
        )

    @promise("P-32")
    def test_p32_workers_of_a_dead_server_can_be_stopped(self, subject: Subject) -> None:
        """Workers of a dead server can be stopped.

        They cost money with or without a server: ``stop`` ends them.

        Troubleshooting: ``set_worker_number(0)`` asks for the address of the server, or looks for
        workers through it.
        """
        cluster = _with_dead_server(subject)
        if subject.claims(Capability.SERVER_STATUS):
            subject.wait_until(lambda: not cluster.is_server_running(), "the server is dead")
        cluster.set_worker_number(0)
        subject.wait_for_workers(cluster, 0)
        cluster.stop()
        subject.stages.give_up_used()

    @promise("P-33")
    def test_p33_stop_leaves_nothing(self, subject: Subject) -> None:
        """Stopping leaves nothing of the cluster.

        No server, no worker, no stored data with its password: the address no longer answers, and
        no other session finds a cluster of the name.

        Troubleshooting: ``stop_server`` returns before the server is gone; ``cleanup`` forgets
        the stored data, or removes it only where ``deep``.
        """
        cluster = subject.stage("stopped")
        subject.start(cluster, 1)
        endpoint = cluster.server_address_for_client()
        cluster.stop()
        require_gone(subject, cluster, endpoint, "stop()")

    @promise("P-34")
    def test_p34_stopping_twice_is_harmless(self, subject: Subject) -> None:
        """Stopping twice is harmless, and so is stopping what is gone.

        Each method that ends something is idempotent: ``stop_server``, ``set_worker_number(0)``
        and ``cleanup`` succeed where there is nothing to do.

        Troubleshooting: the platform's error "not found" is passed on.
        """
        cluster = _stopped(subject)
        cluster.stop()
        with extension_call(cluster) as state:
            container, hardware = state.worker_container.copy(), state.config.worker_hardware
            steps = {
                "set_worker_number(0)": lambda: state.provider.set_worker_number(
                    cluster, container, hardware, 0
                ),
                "stop_server()": lambda: state.provider.stop_server(cluster),
                "cleanup()": lambda: state.provider.cleanup(cluster, deep=False),
            }
            for step, repeat in [*steps.items(), *steps.items()]:
                _require_harmless(subject, f"{step} of what was stopped", repeat)

    @promise("P-35")
    def test_p35_a_stopped_cluster_starts_again(self, subject: Subject) -> None:
        """A cluster that was stopped starts again.

        ``initialize`` is called once in the life of a handle; what clean-up removes is made again
        by ``run_server``.

        Troubleshooting: ``initialize`` makes a network or a folder that ``cleanup`` removes; or
        handles and addresses of the first life are taken for those of the second.
        """
        cluster = _stopped(subject)
        subject.start(cluster, 1)
        seen = subject.identities(cluster, 1)
        subject.require(
            len(seen) == 1, f"1 worker was asked for after stop(), and tasks ran on {sorted(seen)}"
        )
        subject.stages.give_up_used()

    @promise("P-36")
    def test_p36_a_failed_start_leaves_nothing(self, subject: Subject) -> None:
        """A start that fails half-way leaves nothing.

        Whether it fails after the server or after the workers: ``start`` stops what was started.

        Troubleshooting: something is noted only once the start is complete; note it before it is
        begun, so that ``stop_server``, ``set_worker_number(0)`` and ``cleanup`` find it.
        """
        for method in ("configure_worker_env", "register_parallel_backend"):
            container = disguised(subject.worker_container, **{method: fail_as_planted})
            failed = require_undone(subject, container, 2, f"start() failed in {method}()")
            subject.require(failed, f"start() hides the error that {method}() has raised")

    @promise("P-37", Capability.SHARED_CONTAINERS)
    def test_p37_a_failure_among_the_workers_leaves_nothing(self, subject: Subject) -> None:
        """A failure in the midst of starting workers leaves nothing.

        The workers that were started before it are known, and stopped with the rest.

        Troubleshooting: ``run_worker_containers`` raises without having passed the handles of
        what runs already to ``add_worker_handles``.
        """
        original = type(subject.worker_container)
        calls: list[int] = []

        def configure(self: DockerContainer, cluster: DockerCluster, number: int) -> Any:
            calls.append(number)
            if calls.count(PACKED_LIMIT) > 1:
                # The first container of that size runs now, unless all are configured first.
                fail_as_planted()
            return original.configure_worker_env(self, cluster, number)

        container = disguised(subject.worker_container, configure_worker_env=configure)
        container.max_worker_num = PACKED_LIMIT
        failed = require_undone(
            subject, container, 2 * PACKED_LIMIT, "start() failed at the second worker container"
        )
        if not failed:
            subject.skip("containers of one size are configured once, so that nothing could fail")

    @promise("P-38", Capability.CLEANUP)
    def test_p38_deep_clean_up_removes_the_rest(self, subject: Subject) -> None:
        """Deep clean-up removes the rest, and can be repeated.

        What plain clean-up keeps for later clusters, such as networks or roles, goes with
        ``cleanup(deep=True)``; a later cluster makes it anew.

        Troubleshooting: ``deep`` is not looked at; or a second clean-up stumbles over what the
        first has removed.
        """
        # What clusters share cannot be removed while others use it.
        subject.stages.close()
        cluster = subject.cluster()
        subject.start(cluster, 1)
        shared = subject.hooks.list_shared_resources(cluster)
        if not shared:
            subject.note("no list_shared_resources: only repetition and a new start were seen")
        cluster.stop()
        for time, deep in (("second", False), ("third", True), ("fourth", True)):
            step = f"cleanup(deep={deep}), the {time} clean-up of all,"
            _require_harmless(subject, step, functools.partial(cluster.cleanup, deep=deep))
        subject.wait_until(
            lambda: not subject.hooks.list_shared_resources(cluster),
            lambda: (
                "nothing is left after cleanup(deep=True); there are "
                f"{subject.hooks.list_shared_resources(cluster)}"
            ),
        )
        subject.start(cluster, 1)
        cluster.stop()


def _with_dead_server(subject: Subject) -> DockerCluster:
    """Return a shared cluster of one worker whose server was killed."""
    cluster = subject.stage("dead")
    if not cluster.state.active:
        subject.start(cluster, 1)
        subject.hooks.kill_server(cluster)
    return cluster


def _stopped(subject: Subject) -> DockerCluster:
    """Return a shared cluster that had one worker and was stopped."""
    cluster = subject.stage("stopped")
    if not cluster.state.stopped:
        subject.start(cluster, 1)
        cluster.stop()
    return cluster


def _require_harmless(subject: Subject, step: str, repeat: Callable[[], None]) -> None:
    try:
        repeat()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        subject.fail(f"{step} raises {type(error).__name__}: {error}")
