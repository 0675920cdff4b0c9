"""Promises P-39 to P-46: handles and processes that end, reconnecting, and external servers."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

from dockerparallel import Capability, DockerCluster, Endpoint, ExternalServer
from dockerparallel_conformance.promises import promise
from dockerparallel_conformance.provider_checks.ending import require_gone
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
        handle, _, _ = _start_and_drop(subject)
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
        _, name, endpoint = _start_and_drop(subject)
        require_gone(subject, subject.cluster(name), endpoint, "dropping the last reference")

    @promise("P-41")
    def test_p41_leaving_the_interpreter_stops_it(self, subject: Subject) -> None:
        """Leaving the interpreter stops the cluster.

        Checked with a fresh interpreter, which starts a cluster and ends.

        Troubleshooting: ending needs a new thread, which Python refuses to start at exit: end
        things from the calling thread. Or a module that is needed is imported only then.
        """
        cluster, told = subject.in_an_ending_interpreter()
        require_gone(subject, cluster, Endpoint(*told["endpoint"]), "the end of its interpreter")

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
        cluster, told = _reconnected(subject)
        found = json.loads(json.dumps(cluster.static_data()))
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
        cluster, _ = _reconnected(subject)
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
        cluster, _ = _reconnected(subject)
        endpoint = cluster.server_address_for_client()
        more = subject.worker_number + 1
        cluster.set_worker_number(more)
        subject.wait_for_workers(cluster, more)
        seen = subject.identities(cluster, more)
        subject.require(len(seen) == more, f"after scaling to {more}, tasks ran on {sorted(seen)}")
        cluster.stop()
        require_gone(subject, cluster, endpoint, "stopping a cluster that was reconnected to")
        subject.stages.give_up_used()

    @promise("P-46")
    def test_p46_an_external_server_is_only_used(self, subject: Subject) -> None:
        """An external server is used, and never started or stopped.

        Workers reach it by the address that ``cluster.server_address_for_workers()`` gives, and
        the provider's server methods are not called for it.

        Troubleshooting: workers are started only where the provider runs a server of its own, or
        by the address that it remembers instead of the one that the container was given.
        """
        outside = subject.hooks.external_server
        if outside is None:
            subject.skip("there is no external server: give the fixture external_server")
        with outside() as running:
            server = running if isinstance(running, ExternalServer) else running.server
            if not isinstance(running, ExternalServer):
                subject.note(f"the server ran {running.how}")
            cluster = subject.cluster(private_server=server)
            called = _watch_server_methods(cluster)
            subject.start(cluster, subject.worker_number)
            endpoint = cluster.server_address_for_client()
            seen = subject.identities(cluster, subject.worker_number)
            subject.require(
                len(seen) == subject.worker_number,
                f"{subject.worker_number} worker(s) were asked for, and tasks ran on "
                f"{sorted(seen)}",
            )
            cluster.stop()
            subject.require(not called, f"the provider was asked for {called}")
            subject.require(answers(endpoint), "the external server is gone after stop()")
            numbers = cluster.worker_numbers()
            subject.require(numbers[:2] == (0, 0), f"after stop() there are {numbers}")


def _start_and_drop(subject: Subject) -> tuple[weakref.ref[DockerCluster], str, Endpoint]:
    """Start server and worker, drop the handle, and return what is known of it."""

    def start() -> tuple[weakref.ref[DockerCluster], str, Endpoint]:
        # Without the backend: that its registration keeps the handle is no fault of the provider.
        cluster = subject.cluster()
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


def _reconnected(subject: Subject) -> tuple[DockerCluster, dict[str, Any]]:
    cluster, told = subject.left_behind()
    if not cluster.state.registered:
        cluster.reconnect()
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


def _watch_server_methods(cluster: DockerCluster) -> list[str]:
    """Note calls of the methods that are about a server of the cluster's own."""
    called: list[str] = []
    provider: Any = cluster.state.provider

    def watched(name: str) -> Any:
        method = getattr(provider, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            called.append(name)
            return method(*args, **kwargs)

        return call

    for name in ("run_server", "stop_server", "server_status", "server_address"):
        setattr(provider, name, watched(name))
    return called
