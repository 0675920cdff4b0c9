"""Promises P-39 to P-46: handles and processes that end, reconnecting, and external servers."""

from __future__ import annotations

import gc
import json
import warnings
import weakref
from typing import Any

from dockerparallel import Capability, DockerCluster, Endpoint
from dockerparallel_conformance.promises import promise
from dockerparallel_conformance.provider_checks.leftovers import require_gone
from dockerparallel_conformance.provider_checks.server import answers
from dockerparallel_conformance.subject import Subject


class SessionPromises:
    """What a provider promises across handles, processes and sessions."""

    @promise("P-39")
    def test_p39_no_reference_to_the_handle(self, subject: Subject) -> None:
        """The provider keeps no reference to the cluster's handle.

        A handle that is kept is never collected, and its cluster not stopped when it is dropped.

        Troubleshooting: ``self.cluster = cluster``, a cache by cluster, a thread or a callback
        that holds it. Keep ``cluster.state``, or what is needed of it.
        """
        # It need not stop by being dropped: that is the next promise.
        handle, _, _ = _start_and_drop(subject, stop_on_exit=False)
        subject.require(
            handle() is None,
            f"the handle is still referred to: {_holders(handle())}",
        )

    @promise("P-40")
    def test_p40_dropping_the_handle_stops_the_cluster(self, subject: Subject) -> None:
        """Dropping the last reference stops the cluster.

        The methods that end something are called with a fresh handle on the same state then.

        Troubleshooting: the provider works only for the very handle that it was started with, or
        keeps what it needs on the handle.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            handle, name, endpoint = _start_and_drop(subject, stop_on_exit=True)
        subject.require(handle() is None, f"the handle is still there: {_holders(handle())}")
        told = [text for item in caught if name in (text := str(item.message))]
        subject.require(not told, f"dropping the last reference tells {told}")
        require_gone(subject, subject.cluster(name), endpoint, "dropping the last reference")

    @promise("P-41")
    def test_p41_leaving_the_interpreter_stops_it(self, subject: Subject) -> None:
        """Leaving the interpreter stops the cluster.

        Checked with a fresh interpreter, which starts a cluster and ends.

        Troubleshooting: ending needs a new thread, which Python refuses to start at exit: end
        things from the calling thread. Or a module that is needed is imported only then.
        """
        cluster, told = subject.in_an_ending_interpreter()
        printed = told["printed"].strip()
        after = f"its interpreter ended{f', which printed {printed!r}' if printed else ''}"
        require_gone(subject, cluster, Endpoint(*told["endpoint"]), after)
        subject.stages.give_up_used()

    @promise("P-42", Capability.RECONNECT)
    def test_p42_it_outlives_its_process(self, subject: Subject) -> None:
        """With ``stop_on_exit=False`` the cluster outlives its process.

        Troubleshooting: what was started is a child that ends with its parent, is in its process
        group, or is ended by an exit handler of the provider's own.
        """
        cluster, told = subject.left_behind()
        endpoint = Endpoint(*told["endpoint"])
        subject.require(
            cluster.state.active or cluster.exists(),
            "exists() is False for a cluster that an ended process has left running",
        )
        subject.require(
            answers(endpoint),
            f"{endpoint.host}:{endpoint.port} no longer answers, after the process that started "
            "the server has ended",
        )

    @promise("P-43", Capability.RECONNECT)
    def test_p43_reconnecting_restores_everything(self, subject: Subject) -> None:
        """Reconnecting restores settings, password, containers and counts.

        From another process, by the name alone, after the first one has ended.

        Troubleshooting: ``cluster.static_data()`` is stored before ``config.server_port`` is
        changed; parts of it are left out; or the handles of the workers are not found again by
        ``reconnect``.
        """
        cluster, told = _taken_over(subject)
        found = json.loads(json.dumps(cluster.static_data()))
        for data in (told["static_data"], found):
            # It becomes the number that is there, which is looked at below.
            data["config"].pop("expected_worker_number", None)
        different = _differences(told["static_data"], found)
        subject.require(not different, f"these are not what they were: {', '.join(different)}")
        numbers = cluster.worker_numbers()
        subject.require(
            numbers[:2] == tuple(told["numbers"][:2]),
            f"there were {told['numbers'][:2]} workers, and {numbers} are counted",
        )

    @promise("P-44", Capability.RECONNECT)
    def test_p44_a_reconnected_cluster_computes(self, subject: Subject) -> None:
        """A cluster that was reconnected to computes on all its workers.

        Troubleshooting: ``reconnect`` starts something anew, or ends it, instead of taking over
        what runs.
        """
        cluster, _ = _taken_over(subject)
        if not cluster.state.registered:
            cluster.register_backend()
        subject.scale(cluster, subject.worker_number)
        seen = subject.identities(cluster, subject.worker_number)
        subject.require(
            len(seen) == subject.worker_number,
            f"{subject.worker_number} worker(s) were left, and tasks ran on {sorted(seen)}",
        )

    @promise("P-45", Capability.RECONNECT)
    def test_p45_a_reconnected_cluster_is_in_hand(self, subject: Subject) -> None:
        """A cluster that was reconnected to can be scaled and stopped.

        Troubleshooting: ``reconnect`` restores what is counted, and not the handles by which it is
        killed.
        """
        cluster, _ = _taken_over(subject)
        endpoint = cluster.server_address_for_client()
        more = subject.worker_number + 1
        cluster.set_worker_number(more)
        subject.wait_for_workers(cluster, more)
        seen = subject.identities(cluster, more)
        subject.require(len(seen) == more, f"after scaling to {more}, tasks ran on {sorted(seen)}")
        cluster.set_worker_number(0)
        subject.wait_for_workers(cluster, 0)
        cluster.stop()
        require_gone(subject, cluster, endpoint, "stopping a cluster that was reconnected to")
        subject.stages.give_up_used()

    @promise("P-46")
    def test_p46_an_external_server_is_only_used(self, subject: Subject) -> None:
        """An external server is used, and never started or stopped.

        Workers reach it by the address that ``cluster.server_address_for_workers()`` gives, no
        server of the cluster's own runs beside it, and it runs on after ``stop``.

        Troubleshooting: workers are started only where the provider runs a server of its own, or
        by the address that it remembers instead of the one that the container was given. Where
        no worker can reach a server on this machine, override the fixture ``external_server``.
        """
        server = subject.outside_server()
        cluster = subject.cluster(private_server=server)
        started = _watch_run_server(cluster)
        subject.start(cluster, subject.worker_number)
        endpoint = cluster.server_address_for_client()
        seen = subject.identities(cluster, subject.worker_number)
        subject.require(
            len(seen) == subject.worker_number,
            f"{subject.worker_number} worker(s) were asked for, and tasks ran on {sorted(seen)}",
        )
        cluster.stop()
        subject.require(not started, "run_server() was called beside an external server")
        subject.require(answers(endpoint), "the external server is gone after stop()")
        require_gone(subject, cluster, None, "stop()")


def _start_and_drop(
    subject: Subject, *, stop_on_exit: bool
) -> tuple[weakref.ref[DockerCluster], str, Endpoint]:
    """Start server and worker, drop the handle, and return what is known of it."""

    def start() -> tuple[weakref.ref[DockerCluster], str, Endpoint]:
        # Without the backend: that its registration keeps the handle is no fault of the provider.
        cluster = subject.cluster(stop_on_exit=stop_on_exit)
        cluster.start_server()
        subject.wait_for_server(cluster)
        cluster.set_worker_number(1)
        subject.wait_for_workers(cluster, 1)
        return (
            weakref.ref(cluster),
            cluster.config.job_queue_name,
            cluster.server_address_for_client(),
        )

    started = start()
    gc.collect()
    return started


def _holders(handle: object) -> str:
    kinds = {type(holder).__name__ for holder in gc.get_referrers(handle)} - {"frame"}
    return f"by objects of the types {', '.join(sorted(kinds))}"


def _taken_over(subject: Subject) -> tuple[DockerCluster, dict[str, Any]]:
    """Return the cluster that another process has left, reconnected to, and what that told."""
    cluster, told = subject.left_behind()
    if not cluster.state.active:
        try:
            cluster.reconnect()
        except Exception:
            # What was taken over can be looked at without the backend: P-44 registers it again.
            if not cluster.state.active:
                raise
    return cluster, told


def _differences(before: object, after: object, path: str = "") -> list[str]:
    """Return where two pieces of static data differ; not how, since they hold secrets."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            different
            for key in sorted(before.keys() | after.keys())
            for different in _differences(before.get(key), after.get(key), f"{path}.{key}")
        ]
    return [] if before == after else [path.removeprefix(".")]


def _watch_run_server(cluster: DockerCluster) -> list[str]:
    """Note calls of ``run_server``, the provider's own included.

    Not of the methods that ask or end: a provider may well call them where they do nothing.
    """
    called: list[str] = []
    provider: Any = cluster.state.provider
    run_server = provider.run_server

    def call(*args: Any, **kwargs: Any) -> Any:
        called.append("run_server")
        return run_server(*args, **kwargs)

    provider.run_server = call
    return called
