"""ECS Fargate on this machine, for the tests of whoever writes a provider for AWS."""

from __future__ import annotations

from dockerparallel_fargate_harness._version import __version__

__all__ = ["__version__"]
