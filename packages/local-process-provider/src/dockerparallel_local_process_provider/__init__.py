"""Runs the server and the workers of a cluster as plain processes of this machine.

The provider to try things with: it needs no Docker and no account, and runs the ``command`` of a
container with its ``environment`` and ``secrets``.
"""

from __future__ import annotations

from dockerparallel_local_process_provider._version import __version__
from dockerparallel_local_process_provider.leftovers import LocalCluster
from dockerparallel_local_process_provider.provider import LocalProcessProvider

__all__ = ["LocalCluster", "LocalProcessProvider", "__version__"]
