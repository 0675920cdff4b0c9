"""The errors of the conformance suite, part of the tree of ``dockerparallel.errors``.

::

    DockerParallelError
    ├── ConformanceFailure (AssertionError)   an extension does not keep a promise
    └── OverriddenCheckError (TypeError)      a check was overridden and not marked xfail
"""

from __future__ import annotations

from dockerparallel import DockerParallelError


class ConformanceFailure(DockerParallelError, AssertionError):  # noqa: N818 - what it is called
    """An extension does not keep a promise; the message says which, and what was seen."""


class OverriddenCheckError(DockerParallelError, TypeError):
    """A class overrides a check without saying, by an xfail mark with a reason, why."""


class ConformanceWarning(UserWarning):
    """Something that is no broken promise went wrong, such as the clean-up after a check."""
