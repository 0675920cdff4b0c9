"""Promises P-1 to P-5: the handle, the provider's copy, and the server."""

from __future__ import annotations

import contextlib
import socket

from dockerparallel import Endpoint, Status
from dockerparallel_conformance.promises import promise
from dockerparallel_conformance.subject import Subject


def answers(endpoint: Endpoint) -> bool:
    """Tell whether something accepts a TCP connection there, within a second."""
    with contextlib.suppress(OSError), socket.create_connection(endpoint, timeout=1.0):
        return True
    return False


class ServerPromises:
    """What a provider promises of the server."""

    @promise("P-1")
    def test_p01_constructing_touches_nothing(self, subject: Subject) -> None:
        """Constructing a cluster touches nothing.

        A ``DockerCluster`` that was made and never started has no server, no worker and no
        resource on the platform, and no cluster of its name exists.

        Troubleshooting: something is started or made in ``__init__``, ``copy()`` or
        ``initialize()`` of the provider. Begin it in ``run_server``.
        """
        cluster = subject.cluster()
        before = subject.hooks.list_resources(cluster)
        subject.require(not before, f"these are there before anything was started: {before}")
        subject.require(
            not cluster.exists(),
            f"exists() is True for {cluster.config.job_queue_name!r}, which was never started",
        )
        numbers = cluster.worker_numbers()
        subject.require(numbers[:2] == (0, 0), f"worker_numbers() is {numbers} before any start")
        asked = subject.hooks.list_resources(cluster)
        subject.require(not asked, f"these are there since it was asked whether it exists: {asked}")

    @promise("P-2")
    def test_p02_a_copy_shares_nothing(self, subject: Subject) -> None:
        """A copy of the provider shares nothing with the original.

        A cluster works on a copy, so that one provider object serves many clusters.

        Troubleshooting: ``copy()`` was overridden and returns ``self`` or a shallow copy; or
        lists and dicts are class attributes instead of being made in ``__init__``.
        """
        original = subject.provider
        duplicate = original.copy()
        subject.require(
            type(duplicate) is type(original) and duplicate is not original,
            f"copy() of {original!r} gave {duplicate!r}: it must be another object of its class",
        )
        for name, value in vars(original).items():
            shared = isinstance(value, list | dict | set) and vars(duplicate).get(name) is value
            subject.require(not shared, f"the copy shares the {type(value).__name__} {name!r}")

    @promise("P-3")
    def test_p03_the_server_runs(self, subject: Subject) -> None:
        """The server runs after ``start_server``, in bounded time.

        ``server_status`` tells a ``Status`` at any time after ``run_server``: initializing at
        first, if it likes, and running in the end.

        Troubleshooting: the platform's words for a container that is up are not all translated
        to ``Status.RUNNING``; or the server ends at once: look at its log.
        """
        cluster = subject.with_server()
        status = cluster.state.provider.server_status(cluster)
        subject.require(status in set(Status), f"server_status() is {status!r}, which is no Status")

    @promise("P-4")
    def test_p04_the_address_answers(self, subject: Subject) -> None:
        """The address of the server answers.

        What ``server_address`` tells, and the client is to use, accepts connections once the
        server runs.

        Troubleshooting: public and private address are exchanged; the port is that inside the
        container and not the published one; ``config.server_port`` was changed after the
        container was configured; or a firewall keeps the client out.
        """
        cluster = subject.with_server()
        endpoint = cluster.server_address_for_client()
        subject.wait_until(
            lambda: answers(endpoint), f"{endpoint.host}:{endpoint.port} accepts a connection"
        )

    @promise("P-5")
    def test_p05_starting_a_running_server_does_nothing(self, subject: Subject) -> None:
        """Starting a server that runs does nothing.

        ``start_server`` and ``start`` ask ``server_status`` first: while it tells the truth, no
        second server is started.

        Troubleshooting: ``server_status`` says stopped of a server that runs, for instance since
        it looks too early, or remembers an answer.
        """
        cluster = subject.with_server()
        endpoint = cluster.server_address_for_client()
        for _ in range(3):
            subject.require(
                cluster.is_server_running(), "is_server_running() is False of a running server"
            )
        cluster.start_server()
        now = cluster.server_address_for_client()
        subject.require(
            now == endpoint, f"the server moved from {endpoint} to {now}: a second one was started"
        )
