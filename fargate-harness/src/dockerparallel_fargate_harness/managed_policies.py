"""AWS's own policies: those that the roles of ECS tasks have, of the thousand that moto knows.

With all of them, as moto has them where it is told to, every call is slower by a tenth of a second.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, iam_backends

from dockerparallel_fargate_harness.moto_state import PARTITION
from dockerparallel_fargate_harness.wire import ACCOUNT

NAMES = (
    "AmazonECSTaskExecutionRolePolicy",
    "AmazonS3FullAccess",
    "AmazonS3ReadOnlyAccess",
    "AmazonSSMReadOnlyAccess",
    "CloudWatchLogsFullAccess",
    "SecretsManagerReadWrite",
)


def add_managed_policies() -> None:
    """Give the account the policies. Called under the harness's lock."""
    backend = iam_backends[ACCOUNT][PARTITION]
    for name, data in _documents().items():
        policy = AWSManagedPolicy.from_data(name, ACCOUNT, PARTITION, data)
        backend.managed_policies.setdefault(policy.arn, policy)


@functools.cache
def _documents() -> dict[str, Any]:
    known = json.loads(aws_managed_policies_data)
    return {name: known[name] for name in NAMES}
