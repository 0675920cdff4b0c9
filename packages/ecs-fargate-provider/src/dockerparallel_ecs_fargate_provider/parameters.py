"""Parameters of SSM: small texts by their names, encrypted ones for secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dockerparallel_ecs_fargate_provider import tags
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.errors import AWSError

LONGEST_VALUE = 4096
"""Characters of a standard parameter, which costs nothing (API reference of PutParameter)."""

_AT_ONCE = 10
"""Names in one call (API reference of GetParameters and DeleteParameters)."""


class Parameters:
    """Reads and writes parameters under one path.

    Parameters
    ----------
    aws
        To ask.
    root
        Begin of all names, such as ``/dockerparallel/my-cluster``.
    kms_key_id
        The key by which secrets are encrypted; by default that of the account.
    """

    def __init__(self, aws: AWS, root: str, kms_key_id: str | None) -> None:
        self._aws = aws
        self.root = root
        self._key = {} if kms_key_id is None else {"KeyId": kms_key_id}

    def create(
        self, name: str, text: str, ours: Mapping[str, str], *, secret: bool = False
    ) -> bool:
        """Make a parameter, and return whether it was not there before; atomic.

        Parameters
        ----------
        name
            Below the root.
        ours
            Its tags.
        """
        kind = {"Type": "SecureString", **self._key} if secret else {"Type": "String"}
        try:
            self._aws.call(
                "ssm",
                "PutParameter",
                Name=f"{self.root}/{name}",
                Value=text,
                Overwrite=False,
                Tags=tags.capitalized(ours),
                **kind,
            )
        except AWSError as error:
            if error.code != "ParameterAlreadyExists":
                raise
            return False
        return True

    def replace(self, name: str, text: str, *, secret: bool = False) -> None:
        """Give a parameter that is there another value; its tags stay."""
        kind = {"Type": "SecureString", **self._key} if secret else {"Type": "String"}
        self._aws.call(
            "ssm", "PutParameter", Name=f"{self.root}/{name}", Value=text, Overwrite=True, **kind
        )

    def put(self, name: str, text: str, ours: Mapping[str, str], *, secret: bool = False) -> None:
        """Make a parameter, or give the one that is there this value."""
        if not self.create(name, text, ours, secret=secret):
            self.replace(name, text, secret=secret)

    def read(self, names: Sequence[str]) -> dict[str, str]:
        """Return the values of those parameters that are there, by their names."""
        found = {}
        for start in range(0, len(names), _AT_ONCE):
            answer = self._aws.call(
                "ssm",
                "GetParameters",
                Names=[f"{self.root}/{name}" for name in names[start : start + _AT_ONCE]],
                WithDecryption=True,
            )
            for parameter in answer["Parameters"]:
                found[self._below(parameter["Name"])] = str(parameter["Value"])
        return found

    def names(self, below: str) -> list[str]:
        """Return the names of all parameters below one; their values are not asked for."""
        found = self._aws.pages(
            "ssm",
            "DescribeParameters",
            "Parameters",
            token="NextToken",  # noqa: S106 - where the next page is
            ParameterFilters=[
                {"Key": "Path", "Option": "Recursive", "Values": [f"{self.root}/{below}"]}
            ],
        )
        return [self._below(parameter["Name"]) for parameter in found]

    def delete(self, names: Iterable[str]) -> None:
        """Remove parameters; those that are not there count as removed."""
        wanted = [f"{self.root}/{name}" for name in names]
        for start in range(0, len(wanted), _AT_ONCE):
            self._aws.call("ssm", "DeleteParameters", Names=wanted[start : start + _AT_ONCE])

    def arn(self, name: str) -> str:
        """Return the ARN of a parameter, by which a task definition names it."""
        return self._aws.arn("ssm", f"parameter{self.root}/{name}")

    def _below(self, name: str) -> str:
        return name.removeprefix(f"{self.root}/")
