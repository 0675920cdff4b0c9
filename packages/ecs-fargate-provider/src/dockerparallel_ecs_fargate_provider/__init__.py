"""Runs the server and the workers of a cluster as tasks of Amazon ECS on AWS Fargate."""

from __future__ import annotations

from dockerparallel_ecs_fargate_provider._version import __version__

__all__ = ["__version__"]
