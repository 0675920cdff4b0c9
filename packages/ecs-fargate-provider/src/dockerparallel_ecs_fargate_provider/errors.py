"""The errors of the provider, a branch of the tree of :mod:`dockerparallel.errors`.

::

    ProviderError (RuntimeError)
    └── AWSError                              AWS refused, or could not do, what was asked
        ├── CredentialsError                  no credentials, or no region, to call AWS with
        ├── AWSPermissionError (PermissionError)  the caller may not make this call
        ├── AWSUnreachableError (ConnectionError) no answer from an endpoint of AWS
        ├── AWSTimeoutError (TimeoutError)    something of AWS's did not happen in time
        ├── ThrottledError                    AWS asks to call less often, all retries included
        ├── ResourceError                     a given resource is missing, or does not fit
        ├── LaunchError                       AWS did not start a task
        │   ├── QuotaError                    a quota of the account is used up
        │   ├── CapacityError                 Fargate has no room at this moment
        │   └── RoleError                     a role cannot be assumed by the task
        └── TaskFailedError                   a task ended by itself

Bad input is refused with :class:`dockerparallel.InvalidValueError` and
:class:`dockerparallel.InvalidTypeError` before anything is asked of AWS.
"""

from __future__ import annotations

from dockerparallel import ProviderError


class AWSError(ProviderError):
    """AWS refused, or could not do, what was asked; the message has its code and text.

    Parameters
    ----------
    message
        What went wrong and what to do.
    code
        AWS's code of the error, such as ``"ClientException"``; empty where AWS gave none.
    text
        AWS's own words.
    """

    def __init__(self, message: str, *, code: str = "", text: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.text = text


class CredentialsError(AWSError):
    """There are no credentials, or no region, to call AWS with."""


class AWSPermissionError(AWSError, PermissionError):
    """The caller may not make this call; the message names the action that its policy lacks."""


class AWSUnreachableError(AWSError, ConnectionError):
    """An endpoint of AWS did not answer."""


class AWSTimeoutError(AWSError, TimeoutError):
    """Something that AWS does took longer than it may; the message says what, and how long."""


class ThrottledError(AWSError):
    """AWS went on asking to call less often, until all retries were used."""


class ResourceError(AWSError):
    """A resource that was given does not exist, or does not fit; nothing was started."""


class LaunchError(AWSError):
    """AWS did not start a task."""


class QuotaError(LaunchError):
    """A quota of the account is used up; the message names it."""


class CapacityError(LaunchError):
    """Fargate has no room for the task at this moment."""


class RoleError(LaunchError):
    """A role of the task does not exist, or does not let ECS assume it."""


class TaskFailedError(AWSError):
    """A task ended by itself; the message says how, and has the end of its log."""
