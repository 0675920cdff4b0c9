"""The limits of SSM parameters and of secrets.

Source: AWS Systems Manager API Reference, PutParameter, GetParameters and DeleteParameters; AWS
Secrets Manager API Reference, CreateSecret.
"""

from __future__ import annotations

from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.state import State
from dockerparallel_fargate_harness.wire import AwsRequest

LENGTH_OF_TIER = {"Standard": 4096, "Advanced": 8192, "Intelligent-Tiering": 8192}
MOST_NAMES = 10
SECRET_BYTES = 65536


def check_put_parameter(_state: State, request: AwsRequest) -> None:
    """Check the length of a parameter, and that tags are not given with ``Overwrite``."""
    limit = LENGTH_OF_TIER.get(request.text("Tier", "Standard"), 4096)
    if len(request.text("Value").encode()) > limit:
        raise AwsError(
            "ValidationException",
            f"Standard tier parameters support a maximum parameter value of {limit} characters. "
            "To create a larger parameter value, upgrade the parameter to use the advanced-"
            "parameter tier. For more information, see https://docs.aws.amazon.com/systems-manager"
            "/latest/userguide/parameter-store-advanced-parameters.html",
        )
    if request.parameters.get("Overwrite") and request.items("Tags"):
        raise AwsError(
            "ValidationException",
            "Invalid request: tags and overwrite can't be used together. To create a parameter "
            "with tags, please remove overwrite flag. To update tags for an existing parameter, "
            "please use AddTagsToResource or RemoveTagsFromResource.",
        )


def check_names(_state: State, request: AwsRequest) -> None:
    """Check the number of names of GetParameters and DeleteParameters."""
    if len(request.items("Names")) > MOST_NAMES:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{request.items('Names')}' at 'names' failed to "
            f"satisfy constraint: Member must have length less than or equal to {MOST_NAMES}",
        )


def check_secret(_state: State, request: AwsRequest) -> None:
    """Check the length of a secret."""
    if len(request.text("SecretString").encode()) > SECRET_BYTES:
        raise AwsError(
            "ValidationException",
            "1 validation error detected: Value at 'secretString' failed to satisfy constraint: "
            f"Member must have length less than or equal to {SECRET_BYTES}",
        )
