"""Promises P-25 to P-30: other handles, other clusters, other people's eyes, and clean-up."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from dockerparallel import Capability, ClusterRunningError, DockerCluster
from dockerparallel.log import LOGGER_NAME
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

        They run at the same time, from the same provider object, and each counts its own. The
        name of the one is the beginning of the name of the other.

        Troubleshooting: workers are listed without the name of the cluster, or by its beginning;
        or state is kept on the class, and so shared by all providers.
        """
        ours, other = _neighbours(subject)
        for cluster, workers, beside in (
            (ours, subject.worker_number, 1),
            (other, 1, subject.worker_number),
        ):
            subject.wait_until(
                lambda cluster=cluster, workers=workers: (  # type: ignore[misc]
                    cluster.worker_numbers()[:2] == (0, workers)
                ),
                lambda cluster=cluster, workers=workers, beside=beside: (  # type: ignore[misc]
                    f"a cluster of {workers} worker(s), beside one of {beside}, counts its own; "
                    f"worker_numbers() is {cluster.worker_numbers()}"
                ),
            )
        mine = subject.identities(ours, subject.worker_number)
        theirs = subject.identities(other, 1)
        subject.require(
            not mine & theirs, f"tasks of both clusters ran on the workers {sorted(mine & theirs)}"
        )

    @promise("P-28")
    def test_p28_stopping_one_leaves_the_other(self, subject: Subject) -> None:
        """Stopping one cluster leaves the others alone.

        Their server and workers run on, and compute. Another session finds them still.

        Troubleshooting: the server or the workers are found by something that both clusters have,
        such as the image or the beginning of the name; or clean-up removes what all clusters use.
        """
        ours, other = _neighbours(subject)
        before = subject.identities(ours, subject.worker_number)
        other.stop()
        runs, numbers = ours.is_server_running(), ours.worker_numbers()
        subject.require(
            runs and numbers[:2] == (0, subject.worker_number),
            f"after another cluster was stopped, is_server_running() is {runs} and {numbers} are "
            "counted",
        )
        after = subject.identities(ours, subject.worker_number)
        subject.require(
            after == before, f"the workers were {sorted(before)} and are {sorted(after)} now"
        )
        if subject.claims(Capability.RECONNECT):
            name = ours.config.job_queue_name
            subject.require(
                subject.cluster(name).exists(),
                f"after another cluster was stopped, exists() is False for {name!r}, which runs",
            )
        subject.stages.give_up("neighbour")

    @promise("P-29")
    def test_p29_no_secret_is_shown(self, subject: Subject) -> None:
        """Nothing that the provider lists or logs shows a secret.

        Neither the password nor a secret of the user's stands in the names of workers, in what
        the exported functions that list, log or describe return, in a ``repr``, or in a message
        of the logger ``dockerparallel`` while workers are started and ended.

        Troubleshooting: a label, a tag, a command line or a listed environment holds them; a
        dataclass writes them into its ``repr``; or a container is logged as it was configured.
        """
        cluster = subject.running()
        secrets = {
            "the password": cluster.config.server_password,
            "a secret of the user's": subject.secret,
        }
        with _logged(cluster) as messages:
            subject.scale(cluster, subject.worker_number + 1)
            subject.scale(cluster, subject.worker_number)
        for place, shown in [*_shown(subject, cluster), ("a log message", "\n".join(messages))]:
            for what, secret in secrets.items():
                subject.require(secret not in shown, f"{place} shows {what}")

    @promise("P-30")
    def test_p30_clean_up_is_refused_while_anything_runs(self, subject: Subject) -> None:
        """Clean-up is refused while anything runs.

        Neither the handle of the cluster nor another of its name can clean up while the server or
        a worker lives; and nothing is gone after it was tried. Workers that end by themselves
        once their server is gone are not asked for.

        Troubleshooting: ``worker_numbers`` says that there are none once the server was stopped,
        and workers live on unseen; or ``cluster_exists`` looks at the server alone.
        """
        cluster = subject.cluster()
        subject.start(cluster, 1)
        others = (
            [subject.cluster(cluster.config.job_queue_name)]
            if subject.claims(Capability.RECONNECT)
            else []
        )
        for handle in (cluster, *others):
            subject.require(
                _cleanup_is_refused(handle),
                f"{'its own' if handle is cluster else 'another'} handle may clean up while server "
                "and worker run",
            )
        subject.require(cluster.worker_numbers()[:2] == (0, 1), "clean-up has ended the worker")
        cluster.stop_server()
        for other in others:
            subject.require(
                _cleanup_is_refused(other) or not sum(cluster.worker_numbers()[:2]),
                "another handle may clean up while a worker runs, and no server",
            )
        if not _cleanup_is_refused(cluster):
            left = subject.hooks.list_resources(cluster)
            subject.require(not left, f"cleanup() was not refused, and these are left: {left}")


def _neighbours(subject: Subject) -> tuple[DockerCluster, DockerCluster]:
    """Return the shared cluster, and another whose name is the beginning of its name."""
    ours = subject.running()
    other = subject.stage("neighbour", ours.config.job_queue_name[:-1])
    if not other.state.active:
        subject.start(other, 1)
    return ours, other


def _cleanup_is_refused(cluster: DockerCluster) -> bool:
    try:
        cluster.cleanup()
    except ClusterRunningError:
        return True
    return False


@contextmanager
def _logged(cluster: DockerCluster) -> Iterator[list[str]]:
    """Collect all messages of the block, those of the finest detail included."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger, handler, verbose = logging.getLogger(LOGGER_NAME), Collector(), cluster.verbose
    logger.addHandler(handler)
    cluster.verbose = 2
    try:
        yield messages
    finally:
        cluster.verbose = verbose
        logger.removeHandler(handler)


def _shown(subject: Subject, cluster: DockerCluster) -> Iterator[tuple[str, str]]:
    """Give all that a person can see of the cluster, and where."""
    provider = cluster.state.provider
    yield "repr(provider)", repr(provider)
    yield "repr(cluster)", f"{cluster!r} {cluster._repr_html_()}"
    yield "worker_names()", repr(provider.worker_names(cluster))
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
