"""A base class for providers that run containers one by one, and scale by handles.

A provider that derives from :class:`ManagedCloudProvider` says how to run, look at and kill worker
containers; which of them to run or kill, and when, is decided here. :func:`for_each` does the same
with many of them at a time, at interpreter exit too.
"""

from __future__ import annotations

from dockerparallel_managed_provider._version import __version__
from dockerparallel_managed_provider.parallel import for_each
from dockerparallel_managed_provider.provider import ManagedCloudProvider
from dockerparallel_managed_provider.secrecy import lasting, redacted

__all__ = ["ManagedCloudProvider", "__version__", "for_each", "lasting", "redacted"]
