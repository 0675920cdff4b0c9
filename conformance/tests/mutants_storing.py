"""Mutants of the promises C-11 to C-13: static data, and what is exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memory_container import MemoryWorkerContainer
from mutation import Mutant

from dockerparallel import DockerCluster, exported


class ForgetsAField(MemoryWorkerContainer):
    """Leaves a field of its own out of its static data."""

    def static_data(self) -> dict[str, Any]:
        data = super().static_data()
        del data["task_attempts"]
        return data


class ForgetsSecrets(MemoryWorkerContainer):
    """Leaves the secrets out of its static data, since they are secret."""

    def static_data(self) -> dict[str, Any]:
        return {**super().static_data(), "secrets": {}}


class StoresWhatIsNoJson(MemoryWorkerContainer):
    """Puts a set into its static data."""

    def static_data(self) -> dict[str, Any]:
        return {**super().static_data(), "names": {"a", "b"}}


class TakesAnyData(MemoryWorkerContainer):
    """Restores itself from the data of any container."""

    def set_static_data(self, data: Mapping[str, Any]) -> None:
        super().set_static_data({**data, "class": self.static_data()["class"]})


class ExportsWhatIsNotThere(MemoryWorkerContainer):
    """Lists a name behind which there is nothing."""

    def exported_names(self) -> list[str]:
        return [*super().exported_names(), "statistics"]


class ExportsWhatRaises(MemoryWorkerContainer):
    """Exports a property that needs a cluster that runs."""

    @property
    @exported
    def queue_length(self) -> int:
        raise RuntimeError("not connected")


class ResolvesEveryName(MemoryWorkerContainer):
    """Exports, besides what it lists, whatever it is asked for."""

    def exported_names(self) -> list[str]:
        return _AnyName(super().exported_names())


class _AnyName(list[str]):
    def __contains__(self, name: object) -> bool:
        return True


class LeavesClusterInTheSignature(MemoryWorkerContainer):
    """Hides from the view that its function takes the cluster."""

    def exported_names(self) -> list[str]:
        return [*super().exported_names(), "length"]

    def exported_object(self, name: str) -> Any:
        return _Length() if name == "length" else super().exported_object(name)


class _Length:
    def __call__(self, cluster: DockerCluster) -> int:
        return 0


MUTANTS = (
    Mutant("C-11", container=ForgetsAField),
    Mutant("C-11", container=ForgetsSecrets),
    Mutant("C-11", container=StoresWhatIsNoJson),
    Mutant("C-12", container=TakesAnyData),
    Mutant("C-13", container=ExportsWhatIsNotThere),
    Mutant("C-13", container=ExportsWhatRaises),
    Mutant("C-13", container=ResolvesEveryName),
    Mutant("C-13", container=LeavesClusterInTheSignature),
)
