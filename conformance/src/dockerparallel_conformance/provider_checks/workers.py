"""Promises P-6 to P-12: the workers, and what reaches them."""

from __future__ import annotations

from dockerparallel import Capability
from dockerparallel_conformance.promises import promise
from dockerparallel_conformance.subject import PROBE_SECRET, PROBE_VALUE, PROBE_VARIABLE, Subject
from dockerparallel_conformance.tasks import ENVIRONMENT, IDENTITY, SECRET_FILE


class WorkerPromises:
    """What a provider promises of the workers that it starts."""

    @promise("P-6")
    def test_p06_exactly_the_asked_number(self, subject: Subject) -> None:
        """Exactly the asked number of workers comes up.

        After ``set_worker_number(n)`` as many workers run as were asked for, in bounded time, and
        never more than that are there.

        Troubleshooting: a start rounds to whole containers; a worker that failed to start is
        forgotten; or one is counted twice, as initializing and as running.
        """
        cluster = subject.with_server()
        cluster.set_worker_number(subject.worker_number)
        most = 0

        def complete() -> bool:
            nonlocal most
            initializing, running, _ = cluster.worker_numbers()
            most = max(most, initializing + running)
            return (initializing, running) == (0, subject.worker_number)

        subject.wait_until(
            complete,
            lambda: (
                f"{subject.worker_number} worker(s) run; worker_numbers() is "
                f"{cluster.worker_numbers()}"
            ),
        )
        subject.require(
            most == subject.worker_number,
            f"{subject.worker_number} worker(s) were asked for, and {most} were counted",
        )

    @promise("P-7")
    def test_p07_workers_really_compute(self, subject: Subject) -> None:
        """The workers really compute, all of them.

        Tasks run on as many different workers as were asked for, and none in the client's own
        process. A worker is told by its host and process.

        Troubleshooting: a worker that runs for the platform cannot reach the server (look at its
        log, and at ``config.server_worker_same_lan``); it was counted and never started; or more
        were started than are counted.
        """
        cluster = subject.running()
        seen = subject.identities(cluster, subject.worker_number)
        client = tuple(IDENTITY({"pause": 0}))
        subject.require(client not in seen, f"tasks ran in the client's own process {client}")
        subject.require(
            len(seen) == subject.worker_number,
            f"{subject.worker_number} worker(s) were asked for, and tasks ran on {len(seen)}: "
            f"{sorted(seen)}",
        )

    @promise("P-8")
    def test_p08_asking_again_changes_nothing(self, subject: Subject) -> None:
        """Asking again for the same number of workers changes nothing.

        ``set_worker_number`` and ``update`` call the provider each time: the workers that are
        there stay.

        Troubleshooting: ``set_worker_number`` of the provider starts ``worker_number`` workers
        more, or all of them anew, instead of bringing their number to it.
        """
        cluster = subject.running()
        before = subject.identities(cluster, subject.worker_number)
        cluster.set_worker_number(subject.worker_number)
        cluster.update()
        subject.wait_for_workers(cluster, subject.worker_number)
        after = subject.identities(cluster, subject.worker_number)
        subject.require(
            after == before, f"the workers were {sorted(before)} and are {sorted(after)} now"
        )

    @promise("P-9")
    def test_p09_the_environment_arrives(self, subject: Subject) -> None:
        """The environment that the user set reaches the workers.

        Values arrive unchanged: spaces, quotes, equal signs and letters beyond ASCII included.

        Troubleshooting: the provider passes only the variables that it knows; builds a shell
        command or a list of ``NAME=value`` without quoting; or replaces the environment.
        """
        cluster = subject.running()
        found = subject.run(cluster, ENVIRONMENT, [{"name": PROBE_VARIABLE}])
        subject.require(
            found == [PROBE_VALUE],
            f"{PROBE_VARIABLE} is {found[0]!r} on the worker, and was set to {PROBE_VALUE!r}",
        )

    @promise("P-10")
    def test_p10_secrets_arrive(self, subject: Subject) -> None:
        """The secrets of the container reach the workers.

        Each is there as an environment variable of its name, or as the file of that name in
        ``$DOCKERPARALLEL_SECRETS_DIR`` (by default ``/run/secrets``), whole and readable by the
        user that the worker runs as.

        Troubleshooting: a provider without a secret channel must use
        ``container.full_environment()``; one with files must set the variable of the folder,
        write no line break at the end, and mind the file's owner.
        """
        cluster = subject.running()
        names = [{"name": PROBE_SECRET}]
        found = [
            *subject.run(cluster, ENVIRONMENT, names),
            *subject.run(cluster, SECRET_FILE, names),
        ]
        subject.require(
            subject.secret in found,
            f"the secret {PROBE_SECRET} is neither a variable nor a file on the worker, or its "
            "value is another",
        )

    @promise("P-11", Capability.SECRET_CHANNEL)
    def test_p11_secrets_are_not_in_the_environment(self, subject: Subject) -> None:
        """Secrets travel apart from the environment.

        The environment of a container is shown by the tools of most platforms, and inherited by
        all that a task starts. A platform that puts secrets into it without showing them says
        what it shows, by the hook ``shown_environment``.

        Troubleshooting: ``container.full_environment()`` is for providers without a secret
        channel; give ``environment`` and ``secrets`` to the platform separately.
        """
        cluster = subject.running()
        shown = subject.hooks.shown_environment(cluster)
        if shown is not None:
            text = "\n".join(shown)
            subject.require(
                PROBE_VALUE in text, f"shown_environment lacks the variable {PROBE_VARIABLE}"
            )
            for what, secret in (
                ("the password", cluster.config.server_password),
                ("a secret of the user's", subject.secret),
            ):
                subject.require(secret not in text, f"the platform shows {what}")
            return
        found = subject.run(cluster, ENVIRONMENT, [{"name": PROBE_SECRET}])
        subject.require(
            found == [None], f"the secret {PROBE_SECRET} is an environment variable of the worker"
        )

    @promise("P-12")
    def test_p12_the_users_objects_are_unchanged(self, subject: Subject) -> None:
        """A deployment changes no container of the user's or the cluster's.

        A provider may change the configured container that it is handed, which is a copy, and
        nothing else.

        Troubleshooting: the provider writes into ``cluster.state.worker_container`` or
        ``cluster.state.server_container``, say a name or a variable of the platform: change the
        ``container`` argument, or a copy.
        """
        worker = subject.probed_container()
        cluster = subject.cluster(worker_container=worker)
        state = cluster.state
        server = state.server_container

        def snapshot() -> list[object]:
            kept = [worker, subject.worker_container, state.worker_container, server]
            return [container and container.static_data() for container in kept]

        before = snapshot()
        cluster.start_server()
        subject.wait_for_server(cluster)
        cluster.set_worker_number(1)
        subject.wait_for_workers(cluster, 1)
        subject.require(
            state.server_container is server and snapshot() == before,
            f"containers were {before} before the start and are {snapshot()} after it",
        )
