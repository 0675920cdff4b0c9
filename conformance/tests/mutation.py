"""Deliberately broken extensions: each breaks one promise of the in-memory pair."""

from __future__ import annotations

from dataclasses import dataclass

from memory_container import MemoryWorkerContainer
from memory_provider import MemoryProvider


@dataclass(frozen=True)
class Mutant:
    """A pair that breaks one promise.

    Parameters
    ----------
    guard
        Number of the promise, whose check must be the first to fail.
    provider, container
        The classes of the pair; one of them is a subclass with the fault.
    timeout
        Seconds for a check: more than the pair needs, and less where the fault is a hanging.
    """

    guard: str
    provider: type[MemoryProvider] = MemoryProvider
    container: type[MemoryWorkerContainer] = MemoryWorkerContainer
    timeout: float = 10.0

    @property
    def name(self) -> str:
        """What the test is called."""
        cls = self.container if self.provider is MemoryProvider else self.provider
        return f"{self.guard}-{cls.__name__}"
