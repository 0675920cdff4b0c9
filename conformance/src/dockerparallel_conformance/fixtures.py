"""The fixtures that both conformance classes share, and the guard against silent overriding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from dockerparallel import CloudProvider, DockerCluster, DockerContainer, ExternalServer
from dockerparallel.presets import resolve_container, resolve_provider
from dockerparallel_conformance import hooks
from dockerparallel_conformance.errors import OverriddenCheckError
from dockerparallel_conformance.external import RunningServer, external_server
from dockerparallel_conformance.hooks import Hooks
from dockerparallel_conformance.promises import unexplained_overrides
from dockerparallel_conformance.stages import Stages
from dockerparallel_conformance.subject import Subject
from dockerparallel_conformance.table import PROPERTY, guarded_by
from dockerparallel_conformance.tasks import Task


class ConformanceFixtures:
    """What an author overrides, each with its default; see ``docs/extending.md``."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a class that overrides a check without an xfail mark that gives a reason.

        Raises
        ------
        OverriddenCheckError
            It does; the message names the checks.
        """
        super().__init_subclass__(**kwargs)
        refuse_overrides(cls)

    # What the author gives ------------------------------------------------------------------

    @pytest.fixture
    def provider(self, request: pytest.FixtureRequest) -> CloudProvider:
        """Give the provider; by default the installed one that ``--provider`` names."""
        return resolve_provider(_option(request, "provider"))

    @pytest.fixture
    def worker_container(self, request: pytest.FixtureRequest) -> DockerContainer:
        """Give the worker container; by default the installed one that ``--container`` names.

        With ``--image``, it and its server run that image.
        """
        container = resolve_container(_option(request, "container"))
        container.image = request.config.getoption("--image") or container.image
        return container

    @pytest.fixture
    def server_container(self) -> DockerContainer | None:
        """Give the server container, where the worker container does not make it."""
        return None

    @pytest.fixture
    def worker_number(self, request: pytest.FixtureRequest) -> int:
        """Give the number of workers of a cluster, at least 1; by default ``--workers``."""
        return int(request.config.getoption("--workers"))

    @pytest.fixture
    def cluster_options(self) -> Mapping[str, Any]:
        """Give further arguments of ``DockerCluster``."""
        return {}

    @pytest.fixture
    def check_timeout(self, request: pytest.FixtureRequest) -> float:
        """Give the seconds that one check may take; by default ``--check-timeout``."""
        return float(request.config.getoption("--check-timeout"))

    # The hooks, each a field of Hooks -------------------------------------------------------

    @pytest.fixture
    def run_tasks(self) -> Callable[[DockerCluster, Task, list[dict[str, Any]]], list[Any]]:
        """Give what runs tasks on the workers of a cluster."""
        return hooks.run_tasks

    @pytest.fixture
    def kill_worker(self) -> Callable[[DockerCluster], None]:
        """Give what ends one worker container behind the cluster's back."""
        return hooks.kill_worker

    @pytest.fixture
    def kill_server(self) -> Callable[[DockerCluster], None]:
        """Give what ends the server behind the cluster's back."""
        return hooks.kill_server

    @pytest.fixture
    def list_resources(self) -> Callable[[DockerCluster], list[str]]:
        """Give what tells all that the platform has of a cluster."""
        return hooks.list_resources

    @pytest.fixture
    def shown_environment(self) -> Callable[[DockerCluster], list[str] | None]:
        """Give what tells what the platform shows of the environment of containers."""
        return hooks.shown_environment

    @pytest.fixture
    def list_shared_resources(self) -> Callable[[DockerCluster], list[str]]:
        """Give what tells all that only deep clean-up removes."""
        return hooks.list_shared_resources

    @pytest.fixture
    def backend_state(self) -> Callable[[], object]:
        """Give what tells with which backend the session computes."""
        return hooks.backend_state

    @pytest.fixture
    def external_server(
        self,
        request: pytest.FixtureRequest,
        provider: CloudProvider,
        worker_container: DockerContainer,
        server_container: DockerContainer | None,
    ) -> Iterator[ExternalServer | RunningServer]:
        """Give a server that runs outside any cluster, for one test."""
        host = request.config.getoption("--host-address")
        given = (provider, worker_container, server_container)
        with external_server(*given, host=host) as running:
            yield running

    # What the checks use --------------------------------------------------------------------

    @pytest.fixture
    def subject(
        self,
        request: pytest.FixtureRequest,
        provider: CloudProvider,
        worker_container: DockerContainer,
        server_container: DockerContainer | None,
        worker_number: int,
        cluster_options: Mapping[str, Any],
        check_timeout: float,
        conformance_stages: list[Stages],
        run_tasks: Callable[[DockerCluster, Task, list[dict[str, Any]]], list[Any]],
        kill_worker: Callable[[DockerCluster], None],
        kill_server: Callable[[DockerCluster], None],
        list_resources: Callable[[DockerCluster], list[str]],
        shown_environment: Callable[[DockerCluster], list[str] | None],
        list_shared_resources: Callable[[DockerCluster], list[str]],
        backend_state: Callable[[], object],
    ) -> Subject:
        """Give a check what it works with, and the report what it needs."""
        refuse_overrides(request.cls)
        if not conformance_stages:
            conformance_stages.append(Stages(backend_state(), check_timeout))

        def outside() -> AbstractContextManager[ExternalServer | RunningServer]:
            return nullcontext(request.getfixturevalue("external_server"))

        subject = Subject(
            provider=provider,
            worker_container=worker_container,
            server_container=server_container,
            worker_number=worker_number,
            options=cluster_options,
            hooks=Hooks(
                run_tasks=run_tasks,
                kill_worker=kill_worker,
                kill_server=kill_server,
                list_resources=list_resources,
                shown_environment=shown_environment,
                list_shared_resources=list_shared_resources,
                backend_state=backend_state,
                external_server=outside,
            ),
            timeout=check_timeout,
            stages=conformance_stages[0],
        )
        _tell_report(request, subject)
        return subject


def refuse_overrides(cls: type) -> None:
    """Raise ``OverriddenCheckError`` where a class overrides a check without saying why."""
    overridden = unexplained_overrides(cls)
    if overridden:
        raise OverriddenCheckError(
            f"{cls.__name__} overrides {', '.join(overridden)}: a check that is replaced proves "
            "nothing. Mark the override @pytest.mark.xfail(reason='...') to say which promise is "
            "not kept and why, or override a fixture instead."
        )


def _option(request: pytest.FixtureRequest, name: str) -> str:
    value = request.config.getoption(f"--{name}")
    if value is None:
        fixture = "provider" if name == "provider" else "worker_container"
        raise pytest.UsageError(
            f"Give the fixture {fixture} in {request.cls.__name__}, or the name of an installed "
            f"{name} by --{name}."
        )
    return str(value)


def _tell_report(request: pytest.FixtureRequest, subject: Subject) -> None:
    """Note on the test what the plugin's table says of it (it travels between processes)."""
    promise = guarded_by(request.node)
    if promise is None:
        return
    row = {
        "pair": subject.pair,
        "number": promise.number,
        "title": promise.title,
        "claimed": subject.claim_text(promise),
        # The list itself, to which the check may add until the report is made.
        "notes": subject.notes,
    }
    request.node.user_properties.append((PROPERTY, row))
