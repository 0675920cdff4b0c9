"""Running the suite on the in-memory pair and on its mutants."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Container, Generator
from dataclasses import replace

import memory_registration
from memory_cloud import CloudAddress
from memory_container import backend_state
from memory_external import external_server
from mutation import Mutant

from dockerparallel import DockerCluster
from dockerparallel_conformance import ConformanceWarning, Hooks, Outcome, promises_of
from dockerparallel_conformance.general import SUITES, each_outcome

_OUT_OF_TIME = ("still running after", "waited in vain", "does not answer")
_PATIENCE = 8


def memory_hooks(cloud: CloudAddress) -> Hooks:
    """Return what an author would tell of the in-memory platform."""

    def resources(cluster: DockerCluster) -> list[str]:
        return cloud.resources(cluster.config.job_queue_name)

    def shared(_cluster: DockerCluster) -> list[str]:
        return cloud.shared()

    def kill_worker(cluster: DockerCluster) -> None:
        cloud.crash([cloud.containers(cluster.config.job_queue_name, "worker")[-1].id])

    def kill_server(cluster: DockerCluster) -> None:
        cloud.crash([item.id for item in cloud.containers(cluster.config.job_queue_name, "server")])

    return Hooks(
        kill_worker=kill_worker,
        kill_server=kill_server,
        list_resources=resources,
        list_shared_resources=shared,
        backend_state=backend_state,
        external_server=lambda: external_server(cloud),
    )


def outcomes_of(
    cloud: CloudAddress, mutant: Mutant, only: Container[str] | None = None
) -> Generator[Outcome, None, None]:
    """Run the suite, or ``only`` some of its checks, on a mutant."""
    return each_outcome(
        mutant.provider(cloud),
        mutant.container(),
        2,
        test_reconnect=True,
        server_container=None,
        hooks=memory_hooks(cloud),
        check_timeout=mutant.timeout,
        options={},
        only=only,
    )


def numbers_of(suite: type) -> list[str]:
    """Return the numbers of the promises that a class checks."""
    return [promise.number for promise in promises_of(suite)]


def require_caught(cloud: CloudAddress, mutant: Mutant, only: Container[str] | None = None) -> None:
    """Fail unless the mutant's guard is the first check that fails, of its class.

    Parameters
    ----------
    cloud
        The platform; what the mutant leaves there is removed.
    mutant
        The broken pair.
    only
        Numbers of the checks to run; by default all of the guard's class, up to the guard.
    """
    verdict = _first_failure(cloud, mutant, only)
    if verdict.number != mutant.guard and any(words in verdict.reason for words in _OUT_OF_TIME):
        # The times of mutants are short, so that waiting in vain is: a busy machine gets more.
        verdict = _first_failure(cloud, replace(mutant, timeout=_PATIENCE * mutant.timeout), only)
    assert verdict.number == mutant.guard, f"{mutant.name} was caught by {verdict}"
    assert verdict.verdict == "failed", f"{mutant.name} was not caught: {verdict}"


def _first_failure(cloud: CloudAddress, mutant: Mutant, only: Container[str] | None) -> Outcome:
    """Return the outcome of the first check that fails, or that of the guard."""
    if only is None:
        (suite,) = [suite for suite in SUITES if mutant.guard in numbers_of(suite)]
        only = numbers_of(suite)
    with warnings.catch_warnings():
        # A broken pair cannot always be ended in order; the memory cloud ends what is left.
        warnings.simplefilter("ignore", ConformanceWarning)
        # What the core says of a dropped handle whose cluster could not be stopped.
        warnings.simplefilter("ignore", RuntimeWarning)
        with contextlib.closing(outcomes_of(cloud, mutant, only)) as outcomes:
            verdict = next(
                outcome
                for outcome in outcomes
                if outcome.verdict == "failed" or outcome.number == mutant.guard
            )
    cloud.reset()
    memory_registration.deregister_all()
    return verdict
