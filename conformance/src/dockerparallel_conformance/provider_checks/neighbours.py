"""Promises P-25 to P-30: other handles, other clusters, other people's eyes, and clean-up."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from dockerparallel import Capability, ClusterRunningError, DockerCluster, WorkerNumbers
from dockerparallel_conformance.promises import promise
from dockerparallel_conformance.subject import Subject

_SHOWING = ("list", "log", "describe")


class NeighbourPromises:
    """What a provider promises where several clusters, handles and people meet."""

    @promise("P-25", Capability.RECONNECT)
    def test_p25_another_handle_finds_the_cluster(self, subject: Subject) -> None:
        """Another handle of the same name finds the cluster that runs.

        ``cluster_exists`` looks at the platform, not at what this object has started.

        Troubleshooting: the name is not stored where others see it (a label, a tag, a file), or
        the look is limited to what this session has started.
        """
        name = subject.running().config.job_queue_name
        subject.require(
            subject.cluster(name).exists(), f"exists() is False for {name!r}, which runs"
        )

    @promise("P-26")
    def test_p26_another_name_is_another_cluster(self, subject: Subject) -> None:
        """A name other than ours is not our cluster.

        Names are compared whole: neither a beginning of a name nor a longer one is the same.

        Troubleshooting: the platform filters by prefix or substring, or ignores case: compare the
        names once more.
        """
        name = subject.running().config.job_queue_name
        for other in (f"{name}0", name[:-1], f"0{name}", name.swapcase()):
            handle = subject.cluster(other)
            subject.require(
                not handle.exists(), f"exists() is True for {other!r} while {name!r} runs alone"
            )
            numbers = handle.worker_numbers()
            subject.require(
                numbers[:2] == (0, 0),
                f"{other!r} has {numbers}, which are the workers of {name!r}",
            )

    @promise("P-27")
    def test_p27_clusters_do_not_count_each_other(self, subject: Subject) -> None:
        """Two clusters do not see each other's workers.

        They run at the same time, from the same provider object, and each counts its own.

        Troubleshooting: workers are listed without the name of the cluster; or state is kept on
        the class, and so shared by all providers.
        """
        ours = subject.running()
        other = subject.cluster(f"{ours.config.job_queue_name}-2")
        subject.start(other, 1)
        numbers = ours.worker_numbers()
        wanted = WorkerNumbers(0, subject.worker_number, subject.worker_number)
        subject.require(
            numbers == wanted, f"beside another cluster of 1 worker, ours counts {numbers}"
        )
        mine = subject.identities(ours, subject.worker_number)
        theirs = subject.identities(other, 1)
        subject.require(
            not mine & theirs, f"tasks of both clusters ran on the workers {sorted(mine & theirs)}"
        )

    @promise("P-28")
    def test_p28_stopping_one_leaves_the_other(self, subject: Subject) -> None:
        """Stopping one cluster leaves the others alone.

        Troubleshooting: the server or the workers are found by something that both clusters have,
        such as the image; or clean-up removes what all clusters use.
        """
        ours = subject.running()
        before = subject.identities(ours, subject.worker_number)
        other = subject.cluster(f"{ours.config.job_queue_name}-2")
        subject.start(other, 1)
        other.stop()
        numbers = ours.worker_numbers()
        subject.require(
            ours.is_server_running() and numbers[:2] == (0, subject.worker_number),
            f"after another cluster was stopped, is_server_running() is "
            f"{ours.is_server_running()} and {numbers} are counted",
        )
        after = subject.identities(ours, subject.worker_number)
        subject.require(
            after == before, f"the workers were {sorted(before)} and are {sorted(after)} now"
        )

    @promise("P-29")
    def test_p29_no_secret_is_shown(self, subject: Subject) -> None:
        """Nothing that the provider lists shows a secret.

        Neither the password nor a secret of the user's stands in the names of workers, in what
        the exported functions that list, log or describe return, or in a ``repr``.

        Troubleshooting: a label, a tag, a command line or a listed environment holds them; or a
        dataclass writes them into its ``repr``.
        """
        cluster = subject.running()
        secrets = {
            "the password": cluster.config.server_password,
            "a secret of the user's": subject.secret,
        }
        for place, shown in _shown(subject, cluster):
            for what, secret in secrets.items():
                subject.require(secret not in shown, f"{place} shows {what}")

    @promise("P-30")
    def test_p30_clean_up_is_refused_while_anything_runs(self, subject: Subject) -> None:
        """Clean-up is refused while anything runs.

        Neither the handle of the cluster nor another of its name can clean up while the server or
        a worker lives; and nothing is gone after it was tried.

        Troubleshooting: ``worker_numbers`` says that there are none once the server was stopped,
        and workers live on unseen; or ``cluster_exists`` looks at the server alone.
        """
        cluster = subject.cluster()
        subject.start(cluster, 1)
        name = cluster.config.job_queue_name
        _require_refused(subject, cluster, "server and worker run")
        subject.require(cluster.worker_numbers()[:2] == (0, 1), "clean-up has ended the worker")
        cluster.stop_server()
        _require_refused(subject, cluster, "a worker runs, and no server")
        if subject.claims(Capability.RECONNECT):
            _require_refused(subject, subject.cluster(name), "another session's worker runs")


def _require_refused(subject: Subject, cluster: DockerCluster, while_: str) -> None:
    try:
        cluster.cleanup(deep=True)
    except ClusterRunningError:
        return
    subject.fail(f"cleanup() was not refused while {while_}")


def _shown(subject: Subject, cluster: DockerCluster) -> Iterator[tuple[str, str]]:
    """Give all that a person can see of the cluster, and where."""
    provider = cluster.state.provider
    yield "repr(provider)", repr(provider)
    yield "repr(cluster)", f"{cluster!r} {cluster._repr_html_()}"
    yield "worker_names()", repr(provider.worker_names(cluster))
    yield "server_stop_reason()", provider.server_stop_reason(cluster)
    yield "list_resources", repr(subject.hooks.list_resources(cluster))
    view = cluster.cloud_provider
    for name in dir(view):
        function = getattr(view, name)
        if not name.startswith(_SHOWING):
            continue
        if not callable(function):
            yield name, repr(function)
            continue
        parameters = inspect.signature(function).parameters.values()
        if all(parameter.default is not parameter.empty for parameter in parameters):
            yield f"{name}()", repr(function())
