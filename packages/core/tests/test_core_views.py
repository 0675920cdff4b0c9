"""What users see of providers and containers."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Any

import pytest
from core_fakes import MemoryContainer, MemoryProvider

from dockerparallel import (
    Capability,
    CloudProvider,
    DockerCluster,
    ExportedNameError,
    InvalidTypeError,
    NoCurrentClusterError,
    current_cluster,
    exported,
)


def test_the_cluster_is_bound_and_gone_from_the_signature(cluster: DockerCluster) -> None:
    where = cluster.cloud_provider.where
    assert str(inspect.signature(where)) == "(prefix: 'str', suffix: 'str' = '!') -> 'str'"
    assert where("<", ">") == "<DockerParallelQueue>"
    assert where(prefix="<") == "<DockerParallelQueue!"
    assert where.__name__ == "where"
    assert where.__doc__.startswith("Tell the name")
    with pytest.raises(TypeError, match="prefix"):
        where()
    with pytest.raises(TypeError):
        where("<", cluster=cluster)


def test_a_function_without_cluster_finds_the_current_one(cluster: DockerCluster) -> None:
    assert cluster.worker_container.name_of_cluster() == "DockerParallelQueue"
    with pytest.raises(NoCurrentClusterError, match="exported function"):
        current_cluster()


def test_properties_are_values(cluster: DockerCluster) -> None:
    assert cluster.cloud_provider.region == "memory"
    cluster.worker_container.extras = ["a"]
    assert cluster.worker_container.extras == ["a"]
    assert cluster.state.worker_container.extra == ["a"]  # type: ignore[attr-defined]
    with pytest.raises(ExportedNameError, match=r"region cannot be set"):
        cluster.cloud_provider.region = "elsewhere"


def test_only_exported_names_show(cluster: DockerCluster) -> None:
    assert dir(cluster.cloud_provider) == ["region", "where"]
    assert dir(cluster.worker_container) == ["extras", "name_of_cluster"]
    assert cluster.server_container is not None
    for wrong in ("run_server", "wher", "calls"):
        with pytest.raises(AttributeError, match=f"no '{wrong}'.*region, where"):
            getattr(cluster.cloud_provider, wrong)
    assert "region, where" in repr(cluster.cloud_provider)


def test_extensions_may_export_what_they_like(cluster: DockerCluster) -> None:
    def positional(first: int, cluster: DockerCluster, /, *rest: int, **options: int) -> Any:
        return first, cluster.config.job_queue_name, rest, options

    objects = {"positional": positional, "number": 7, "partial": functools.partial(max, 5)}
    provider: Any = cluster.state.provider
    provider.exported_names = lambda: list(objects)
    provider.exported_object = objects.__getitem__
    view = cluster.cloud_provider
    assert view.positional(1, 2, 3, four=4) == (1, "DockerParallelQueue", (2, 3), {"four": 4})
    assert view.number == 7
    assert view.partial(9) == 9


def test_an_override_stays_exported_and_inheritance_adds(cluster: DockerCluster) -> None:
    class Derived(MemoryProvider):
        def where(self, prefix: str, cluster: DockerCluster, suffix: str = "?") -> str:
            return suffix

        @exported
        def more(self) -> int:
            return 1

    platform = cluster.state.provider.platform  # type: ignore[attr-defined]
    assert Derived(platform).exported_names() == ["more", "region", "where"]


def test_only_functions_and_properties_can_be_marked() -> None:
    with pytest.raises(InvalidTypeError, match="not 3"):
        exported(3)  # type: ignore[type-var]


def test_claims_follow_overrides_unless_declared() -> None:
    class Declared(MemoryProvider):
        capabilities = frozenset({Capability.SHARED_CONTAINERS})

    assert MemoryProvider.claimed_capabilities() == {
        Capability.SERVER_STATUS,
        Capability.WORKER_NUMBERS,
        Capability.RECONNECT,
        Capability.CLEANUP,
    }
    assert Declared.claimed_capabilities() == {Capability.SHARED_CONTAINERS}
    assert MemoryContainer.claimed_capabilities() == {
        Capability.SERVER_CONTAINER,
        Capability.DEREGISTER,
    }
    assert CloudProvider.claimed_capabilities() == frozenset()


def test_no_repr_of_a_derived_dataclass_shows_a_secret() -> None:
    @dataclasses.dataclass
    class Derived(MemoryContainer):
        more: int = 1

    container = Derived("image", environment={"A": "hidden"}, secrets={"B": "hidden"})
    assert "more=1" in repr(container)
    assert "hidden" not in repr(container)


def test_no_repr_shows_a_secret(cluster: DockerCluster) -> None:
    cluster.start()
    server, _, _ = cluster.state.provider.seen["server"]  # type: ignore[attr-defined]
    server.environment["TOKEN"] = "a token"
    texts = [
        repr(server),
        repr(cluster),
        cluster._repr_html_(),
        repr(cluster.config),
        repr(cluster.cloud_provider),
        repr(cluster.worker_container),
        repr(cluster.state.provider),
    ]
    assert "PASSWORD" in texts[0]
    assert "TOKEN" in texts[0]
    for text in texts:
        assert cluster.config.server_password not in text
        assert "a token" not in text
