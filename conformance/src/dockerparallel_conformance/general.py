"""The suite as one call, for a test file of one line or a session at the prompt."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import pytest

from dockerparallel import CloudProvider, DockerContainer
from dockerparallel.presets import resolve_container, resolve_provider
from dockerparallel.validation import check_bool, check_int, check_seconds
from dockerparallel_conformance.container_checks import ContainerConformance
from dockerparallel_conformance.errors import ConformanceFailure
from dockerparallel_conformance.external import external_server
from dockerparallel_conformance.hooks import Hooks
from dockerparallel_conformance.promises import Promise, promises_of
from dockerparallel_conformance.provider_checks import ProviderConformance
from dockerparallel_conformance.report import ConformanceReport, Outcome
from dockerparallel_conformance.stages import Stages
from dockerparallel_conformance.subject import Subject


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
    cloud, worker = resolve_provider(provider), resolve_container(worker_container)
    hooks = Hooks() if hooks is None else hooks
    if hooks.external_server is None:
        hooks = dataclasses.replace(
            hooks, external_server=lambda: external_server(cloud, worker, server_container)
        )
    timeout = check_seconds("check_timeout", check_timeout)
    stages = Stages(hooks.backend_state(), timeout)

    def subject() -> Subject:
        return Subject(
            provider=cloud,
            worker_container=worker,
            server_container=server_container,
            worker_number=check_int("worker_number", worker_number, minimum=1),
            options=cluster_options,
            hooks=hooks,
            timeout=timeout,
            stages=stages,
            reconnecting=check_bool("test_reconnect", test_reconnect),
        )

    report = ConformanceReport(subject().pair)
    _say(report.heading())
    try:
        for suite in (ProviderConformance, ContainerConformance):
            for promise in promises_of(suite):
                report.outcomes.append(_check(suite(), promise, subject()))
                _say(report.outcomes[-1].row())
    finally:
        stages.close()
    _say(report.summary())
    if report.failed:
        broken = "\n".join(f"- {o.number} {o.title}\n  {o.reason}" for o in report.failed)
        raise ConformanceFailure(
            f"{len(report.failed)} promise(s) are not kept; docs/conformance.md says what usually "
            f"goes wrong.\n{broken}"
        )
    return report


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
