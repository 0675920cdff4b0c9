"""Values that are too long for a task override or a parameter, in Secrets Manager."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping

from dockerparallel import InvalidValueError
from dockerparallel_ecs_fargate_provider import tags
from dockerparallel_ecs_fargate_provider.api import AWS
from dockerparallel_ecs_fargate_provider.errors import AWSError
from dockerparallel_ecs_fargate_provider.options import Options

LONGEST_SECRET = 65_536
"""Bytes of one secret (API reference of CreateSecret)."""


class LongValues:
    """The long values of the tasks of one cluster.

    Each secret holds several of them, as JSON. They cost some cents a month each (0.40 USD), by
    the hour, which is why they are used only where nothing else does, and removed with the
    cluster.

    Parameters
    ----------
    aws, options
        Of the provider.
    """

    def __init__(self, aws: AWS, options: Options) -> None:
        self._aws = aws
        self._prefix = f"dockerparallel/{options.cluster_name}"
        self._key = {} if options.kms_key_id is None else {"KmsKeyId": options.kms_key_id}
        self._kept: dict[str, dict[str, str]] = {}

    def put(
        self, cluster: str, values: Mapping[str, str], ours: Mapping[str, str]
    ) -> dict[str, str]:
        """Store values; return by their names how a task definition refers to each.

        What this session has stored for the cluster already is not stored again.

        Raises
        ------
        InvalidValueError
            One is longer than a secret may be.
        """
        check_long_values(values)
        references: dict[str, str] = {}
        for group in _groups(values):
            digest = hashlib.sha256(json.dumps([cluster, group]).encode()).hexdigest()
            if digest not in self._kept:
                answer = self._aws.call(
                    "secretsmanager",
                    "CreateSecret",
                    Name=f"{self._prefix}/{cluster}/{secrets.token_hex(8)}",
                    Description="Long environment variables of a cluster of DockerParallel",
                    SecretString=json.dumps(group),
                    ClientRequestToken=secrets.token_hex(32),
                    Tags=tags.capitalized(ours),
                    **self._key,
                )
                self._kept[digest] = {name: f"{answer['ARN']}:{name}::" for name in group}
            references |= self._kept[digest]
        return references

    def remove(self, cluster: str, cluster_id: str = "") -> None:
        """Remove all values of a cluster, those of other sessions included; idempotent.

        Parameters
        ----------
        cluster
            ``job_queue_name``.
        cluster_id
            Which one of that name; by default any.
        """
        found = self._aws.pages(
            "secretsmanager",
            "ListSecrets",
            "SecretList",
            token="NextToken",  # noqa: S106 - where the next page is
            Filters=[{"Key": "name", "Values": [f"{self._prefix}/{cluster}/"]}],
        )
        for secret in list(found):
            # The filter takes a beginning of the name; be sure that it is this cluster's.
            if not secret["Name"].startswith(f"{self._prefix}/{cluster}/"):
                continue
            if cluster_id not in {"", tags.parsed(secret.get("Tags")).get(tags.CLUSTER_ID)}:
                continue
            try:
                self._aws.call(
                    "secretsmanager",
                    "DeleteSecret",
                    SecretId=secret["ARN"],
                    ForceDeleteWithoutRecovery=True,
                )
            except AWSError as error:
                # Somebody else has removed it meanwhile.
                if error.code != "ResourceNotFoundException":
                    raise
        self._kept.clear()


def check_long_values(values: Mapping[str, str]) -> None:
    """Refuse a value that not even a secret can hold.

    Raises
    ------
    InvalidValueError
        The name of the first such value is told, and how long it is.
    """
    for name, text in values.items():
        size = len(json.dumps({name: text}).encode())
        if size > LONGEST_SECRET:
            raise InvalidValueError(
                f"The variable {name!r} takes {size} bytes, and AWS hands at most {LONGEST_SECRET} "
                "to a task: put what it holds into the image, or into a file that the task reads."
            )


def _groups(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the values in groups that each fit into one secret."""
    groups: list[dict[str, str]] = []
    for name, text in sorted(values.items()):
        if groups and len(json.dumps({**groups[-1], name: text}).encode()) <= LONGEST_SECRET:
            groups[-1][name] = text
        else:
            groups.append({name: text})
    return groups
