"""The suite as one call, for a test file of one line or a session at the prompt."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Container, Generator, Mapping
from typing import Any

import pytest

from dockerparallel import CloudProvider, DockerCluster, DockerContainer
from dockerparallel.presets import resolve_container, resolve_provider
from dockerparallel.validation import check_bool, check_int, check_seconds
from dockerparallel_conformance.alarm import require_main_thread
from dockerparallel_conformance.container_checks import ContainerConformance
from dockerparallel_conformance.errors import ConformanceFailure
from dockerparallel_conformance.external import external_server
from dockerparallel_conformance.hooks import Hooks
from dockerparallel_conformance.promises import Promise, promises_of
from dockerparallel_conformance.provider_checks import ProviderConformance
from dockerparallel_conformance.report import ConformanceReport, Outcome
from dockerparallel_conformance.stages import Stages
from dockerparallel_conformance.subject import Subject, pair_text

SUITES = (ProviderConformance, ContainerConformance)


def general_docker_cluster_test(
    provider: CloudProvider | str,
    worker_container: DockerContainer | str,
    worker_number: int = 5,
    test_reconnect: bool = True,
    *,
    server_container: DockerContainer | None = None,
    hooks: Hooks | None = None,
    check_timeout: float = 120.0,
    **cluster_options: Any,
) -> ConformanceReport:
    """Check every promise of a provider and a container, and print the table as it grows.

    Calls the methods of ``ProviderConformance`` and ``ContainerConformance``, in the order of a
    cluster's life. Blocks until all are through; must be called in the main thread. Whatever it
    starts is ended.

    Parameters
    ----------
    provider, worker_container
        The pair to check: objects, which are not changed, or names of installed extensions.
    worker_number
        Workers of a cluster, at least 1; with 1 some checks show less.
    test_reconnect
        Whether reconnecting is checked, where the provider claims it.
    server_container
        The server container, where the worker container does not make it.
    hooks
        What the suite cannot know of platform and backend; see :class:`Hooks`.
    check_timeout
        Seconds that one check may take.
    **cluster_options
        Further arguments of ``DockerCluster``. A ``job_queue_name`` becomes the beginning of the
        names of all clusters.

    Returns
    -------
    ConformanceReport
        What became of each promise.

    Raises
    ------
    ConformanceFailure
        Promises are not kept; the message tells each of them. It is an ``AssertionError``.
    InvalidTypeError, InvalidValueError, ExtensionError
        An argument does not fit; nothing was started.
    ClusterStateError
        It was called outside the main thread.
    """
    require_main_thread()
    cloud, worker = resolve_provider(provider), resolve_container(worker_container)
    # Refuses options that do not fit; a handle that is not started costs nothing.
    DockerCluster(cloud, worker, server_container=server_container, **cluster_options)
    report = ConformanceReport(pair_text(cloud, worker, worker_number))
    outcomes = each_outcome(
        cloud,
        worker,
        check_int("worker_number", worker_number, minimum=1),
        check_bool("test_reconnect", test_reconnect),
        server_container=server_container,
        hooks=Hooks() if hooks is None else hooks,
        check_timeout=check_seconds("check_timeout", check_timeout),
        options=cluster_options,
    )
    _say(report.heading())
    for outcome in outcomes:
        report.outcomes.append(outcome)
        _say(outcome.row())
    _say(report.summary())
    if report.failed:
        broken = "\n".join(f"- {o.number} {o.title}\n  {o.reason}" for o in report.failed)
        raise ConformanceFailure(
            f"{len(report.failed)} promise(s) are not kept; docs/conformance.md says what usually "
            f"goes wrong.\n{broken}"
        )
    return report


def each_outcome(
    provider: CloudProvider,
    worker_container: DockerContainer,
    worker_number: int,
    test_reconnect: bool,
    *,
    server_container: DockerContainer | None,
    hooks: Hooks,
    check_timeout: float,
    options: Mapping[str, Any],
    only: Container[str] | None = None,
) -> Generator[Outcome, None, None]:
    """Check one promise after the other, as the caller asks for the outcomes.

    Closing the generator, or reading it to its end, ends the clusters that the checks share. The
    arguments are those of :func:`general_docker_cluster_test`, checked already; ``only`` holds
    the numbers of the promises to check, all by default.
    """
    if hooks.external_server is None:
        hooks = dataclasses.replace(
            hooks,
            external_server=lambda: external_server(provider, worker_container, server_container),
        )
    stages = Stages(hooks.backend_state(), check_timeout)
    try:
        for suite in SUITES:
            for promise in promises_of(suite):
                if only is not None and promise.number not in only:
                    continue
                subject = Subject(
                    provider=provider,
                    worker_container=worker_container,
                    server_container=server_container,
                    worker_number=worker_number,
                    options=options,
                    hooks=hooks,
                    timeout=check_timeout,
                    stages=stages,
                    reconnecting=test_reconnect,
                )
                yield _check(suite(), promise, subject)
    finally:
        stages.close()


def _check(suite: object, promise: Promise, subject: Subject) -> Outcome:
    try:
        getattr(suite, promise.check)(subject)
    except pytest.skip.Exception as skipped:
        verdict, reason = "skipped", str(skipped)
    except ConformanceFailure as failure:
        verdict, reason = "failed", str(failure).removeprefix(f"{promise.number}: ")
    else:
        verdict, reason = "passed", "; ".join(subject.notes)
    return Outcome(
        promise.number,
        promise.title,
        subject.claim_text(promise),
        verdict,
        reason,
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
