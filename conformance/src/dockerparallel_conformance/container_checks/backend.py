"""Promises C-14 to C-22: the parallel backend in the user's session."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from dockerparallel import Capability, DockerCluster, ExternalServer
from dockerparallel_conformance import hooks
from dockerparallel_conformance.errors import ConformanceFailure
from dockerparallel_conformance.promises import promise
from dockerparallel_conformance.subject import Subject
from dockerparallel_conformance.tasks import DOUBLE, FAILURE, IDENTITY

_WRONG_PASSWORD = "conformance-wrong-password"  # noqa: S105 - it opens nothing
_NO_NUMBER = "conformance 7½"
_MANY = 20


class BackendPromises:
    """What a container promises of its parallel backend."""

    @promise("C-14")
    def test_c14_registering_makes_it_usable(self, subject: Subject) -> None:
        """Registering makes the backend usable: the workers compute.

        What the user's session computes with, after ``register_backend``, computes on the
        cluster: a plain ``Parallel()(...)`` where it is a backend of joblib.

        Troubleshooting: the backend is registered under its name but not made the default; or
        tasks run in the client, as they would without a cluster.
        """
        cluster = subject.running()
        arguments: list[dict[str, Any]] = [{"pause": 0.001} for _ in range(_MANY)]
        seen = {tuple(answer) for answer in _computed(subject, cluster, IDENTITY, arguments)}
        client = tuple(IDENTITY({"pause": 0}))
        subject.require(
            client not in seen, f"tasks of the registered backend ran in the client {client}"
        )
        numbers: list[dict[str, Any]] = [{"number": 21, "pause": 0}]
        found = _computed(subject, cluster, DOUBLE, numbers)
        subject.require(found == [42], f"twice 21 is {found} on the cluster")

    @promise("C-15")
    def test_c15_results_come_in_order(self, subject: Subject) -> None:
        """Results come in the order of the tasks.

        Also where a later task ends before an earlier one.

        Troubleshooting: results are given as they arrive, instead of by the number of the task.
        """
        cluster = subject.running()
        numbers = list(range(_MANY))
        arguments = [
            {"number": number, "pause": 0.05 if number % 5 == 0 else 0} for number in numbers
        ]
        found = subject.run(cluster, DOUBLE, arguments)
        subject.require(
            found == [2 * number for number in numbers],
            f"twice the numbers {numbers} came as {found}",
        )

    @promise("C-16")
    def test_c16_the_exception_of_a_task_arrives(self, subject: Subject) -> None:
        """The exception of a task arrives, with its type and its text.

        Troubleshooting: the worker sends its text alone, or gives it back as a result; or one
        failed task ends the worker.
        """
        cluster = subject.running()
        try:
            found = subject.run(cluster, FAILURE, [{"text": "1"}, {"text": _NO_NUMBER}])
        except ValueError as error:
            subject.require(
                _NO_NUMBER in str(error), f"the text of the exception is {str(error)!r}"
            )
        except Exception as error:  # noqa: BLE001 - told to the author
            subject.fail(f"a ValueError of the task arrived as {type(error).__name__}: {error}")
        else:
            subject.fail(f"a task that raises a ValueError gave {found}")
        again = subject.run(cluster, FAILURE, [{"text": "1"}])
        subject.require(again == [1], f"after a failed task, int('1') is {again}")

    @promise("C-17")
    def test_c17_registering_twice_is_harmless(self, subject: Subject) -> None:
        """Registering twice is harmless.

        ``start`` registers; the user may again, perhaps with options.

        Troubleshooting: a second connection replaces the first, whose tasks are lost; or the
        second registration notes the first as what is to be restored.
        """
        cluster = subject.running()
        cluster.register_backend()
        cluster.register_backend()
        arguments: list[dict[str, Any]] = [{"number": n, "pause": 0} for n in range(_MANY)]
        found = _computed(subject, cluster, DOUBLE, arguments)
        subject.require(
            found == [2 * n for n in range(_MANY)], f"registered twice, the results are {found}"
        )

    @promise("C-18", Capability.DEREGISTER)
    def test_c18_deregistering_restores(self, subject: Subject) -> None:
        """Deregistering restores what was there before.

        Troubleshooting: joblib's own default is set, whatever the user had chosen; or a second
        registration was noted as what to restore.
        """
        cluster = subject.running()
        before = subject.stages.backend_before
        cluster.register_backend()
        registered = subject.hooks.backend_state()
        cluster.deregister_backend()
        after = subject.hooks.backend_state()
        subject.require(
            after == before,
            f"the session computed with {before!r} before anything was registered, and computes "
            f"with {after!r} after deregister_backend()",
        )
        cluster.register_backend()
        if registered == before:
            subject.note("no backend_state: it shows no difference while registered")

    @promise("C-19")
    def test_c19_deregistering_nothing_is_harmless(self, subject: Subject) -> None:
        """Deregistering is harmless where nothing is registered.

        Troubleshooting: what was registered is looked up without a default.
        """
        cluster = subject.running()
        subject.cluster().deregister_backend()
        cluster.deregister_backend()
        cluster.deregister_backend()
        cluster.register_backend()

    @promise("C-20")
    def test_c20_only_with_its_password(self, subject: Subject) -> None:
        """The server answers only with its password.

        Troubleshooting: the server is started without one, since it reads another variable; or
        the client sends none and the server does not mind.
        """
        cluster = subject.running()
        endpoint = cluster.server_address_for_client()

        def client(password: str) -> DockerCluster:
            server = ExternalServer(
                public_ip=endpoint.host, public_port=endpoint.port, password=password
            )
            name = cluster.config.job_queue_name
            return subject.cluster(name, private_server=server, worker_number=0)

        numbers: list[dict[str, Any]] = [{"number": 4, "pause": 0}]
        right = client(cluster.config.server_password)
        found = subject.run(right, DOUBLE, numbers)
        subject.require(found == [8], f"with the right password, twice 4 is {found}")
        try:
            wrong = client(_WRONG_PASSWORD)
            wrong.register_backend()
            found = subject.run(wrong, DOUBLE, numbers)
        except ConformanceFailure:
            raise
        except Exception:  # noqa: BLE001 - refused, by whatever error the backend has for it
            return
        subject.fail(f"with a wrong password, a task was run and gave {found}")

    @promise("C-21")
    def test_c21_a_dead_server_gives_an_error(self, subject: Subject) -> None:
        """A dead server gives an error, in bounded time.

        Tasks that are given to a cluster whose server has died fail; they neither wait for ever
        nor seem to succeed.

        Troubleshooting: the client waits for a result without a timeout and without looking
        whether the server lives; or tries to connect again without end.
        """
        cluster = subject.cluster()
        subject.start(cluster, 1)
        numbers: list[dict[str, Any]] = [{"number": 5, "pause": 0}]
        found = subject.run(cluster, DOUBLE, numbers)
        subject.require(found == [10], f"while the server lives, twice 5 is {found}")
        subject.hooks.kill_server(cluster)
        try:
            found = subject.run(cluster, DOUBLE, numbers)
        except ConformanceFailure:
            raise
        except Exception:  # noqa: BLE001 - whatever error the backend has for it
            return
        subject.fail(f"after the server was killed, a task gave {found}")

    @promise("C-22")
    def test_c22_the_handle_is_not_kept(self, subject: Subject) -> None:
        """What is registered does not keep the handle alive.

        A handle that is dropped is collected, and its cluster stopped.

        Troubleshooting: the registered backend, a thread or a callback holds ``cluster``: hold
        ``cluster.state``, or the parts that are needed.
        """

        def start() -> weakref.ref[DockerCluster]:
            cluster = subject.cluster()
            subject.start(cluster, 1)
            subject.run(cluster, DOUBLE, [{"number": 1, "pause": 0}])
            return weakref.ref(cluster)

        handle = start()
        gc.collect()
        subject.require(handle() is None, "the handle is still referred to after it was dropped")


def _computed(
    subject: Subject, cluster: DockerCluster, task: Any, arguments: list[dict[str, Any]]
) -> list[Any]:
    """Run a task with what is registered: by joblib, where the backend is one of joblib's."""
    if hooks.joblib_is_ours():
        return hooks.run_with_joblib(task, arguments)
    return subject.run(cluster, task, arguments)
