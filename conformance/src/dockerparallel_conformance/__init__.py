"""Checks whether a provider or container of DockerParallel keeps its promises.

In a test module of your extension::

    class TestMyProvider(ProviderConformance):
        @pytest.fixture
        def provider(self):
            return MyProvider()

        @pytest.fixture
        def worker_container(self):
            return RedisQueueWorkerContainer()

or as one call, ``general_docker_cluster_test(MyProvider(), RedisQueueWorkerContainer())``, or for
installed extensions without any test file, ``pytest --pyargs dockerparallel_conformance
--provider NAME --container NAME``. The promises stand in ``docs/conformance.md``, and
``python -m dockerparallel_conformance`` prints them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dockerparallel_conformance._version import __version__

if TYPE_CHECKING:
    from dockerparallel_conformance.container_checks import ContainerConformance
    from dockerparallel_conformance.errors import (
        ConformanceFailure,
        ConformanceWarning,
        OverriddenCheckError,
    )
    from dockerparallel_conformance.external import RunningServer
    from dockerparallel_conformance.external import external_server as run_external_server
    from dockerparallel_conformance.general import general_docker_cluster_test
    from dockerparallel_conformance.general import (
        general_docker_cluster_test as generalDockerClusterTest,  # noqa: N812 - the seed's name
    )
    from dockerparallel_conformance.hooks import Hooks
    from dockerparallel_conformance.promises import Promise, promises_of
    from dockerparallel_conformance.provider_checks import ProviderConformance
    from dockerparallel_conformance.report import ConformanceReport, Outcome

__all__ = [
    "ConformanceFailure",
    "ConformanceReport",
    "ConformanceWarning",
    "ContainerConformance",
    "Hooks",
    "Outcome",
    "OverriddenCheckError",
    "Promise",
    "ProviderConformance",
    "RunningServer",
    "__version__",
    "generalDockerClusterTest",
    "general_docker_cluster_test",
    "promises_of",
    "run_external_server",
]

# Every run of pytest loads the plugin and so this package: what it offers is imported when it is
# first asked for.
_MODULES = {
    "ConformanceFailure": "errors",
    "ConformanceReport": "report",
    "ConformanceWarning": "errors",
    "ContainerConformance": "container_checks",
    "Hooks": "hooks",
    "Outcome": "report",
    "OverriddenCheckError": "errors",
    "Promise": "promises",
    "ProviderConformance": "provider_checks",
    "RunningServer": "external",
    "generalDockerClusterTest": "general",
    "general_docker_cluster_test": "general",
    "promises_of": "promises",
    "run_external_server": "external",
}
_RENAMED = {
    "generalDockerClusterTest": "general_docker_cluster_test",
    "run_external_server": "external_server",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as above

    module = import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, _RENAMED.get(name, name))


def __dir__() -> list[str]:
    return __all__
