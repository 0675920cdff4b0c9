"""The errors of the harness.

`HarnessError` is the root of what a test may catch; `AwsError` is the server's own and becomes an
answer over HTTP, so that boto3 raises ``botocore.exceptions.ClientError`` with the code::

    HarnessError (RuntimeError)
    ├── HarnessStartError               the server's process did not come up
    ├── HarnessTimeoutError (TimeoutError)  it did not answer or end in time
    ├── ControlError                    it refused what the test asked of it
    ├── DockerUnavailableError          no Docker engine answers, and tasks need one
    └── AwsError                        AWS answers a call with this error
"""

from __future__ import annotations


class HarnessError(RuntimeError):
    """Something is wrong with the harness or with how it is used."""


class HarnessStartError(HarnessError):
    """The server's process ended before it was ready, or was not ready in time."""


class HarnessTimeoutError(HarnessError, TimeoutError):
    """The server did not answer, or did not end, within the time given."""


class ControlError(HarnessError):
    """The server refused a request of `FargateHarness`; the message holds its words."""


class DockerUnavailableError(HarnessError):
    """No Docker engine answers; ``--no-containers`` needs none."""


class AwsError(HarnessError):
    """The answer of AWS to a call that it refuses.

    Parameters
    ----------
    code : str
        The error code, such as ``"InvalidParameterException"``.
    message : str
        The message, as AWS words it.
    status : int, default 400
        The HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
