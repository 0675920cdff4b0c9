"""What AWS says when it refuses, turned into errors that say what to do."""

from __future__ import annotations

import botocore.exceptions

from dockerparallel_ecs_fargate_provider.errors import (
    AWSError,
    AWSPermissionError,
    AWSUnreachableError,
    CredentialsError,
    ThrottledError,
)
from dockerparallel_ecs_fargate_provider.rate_limits import throttled

_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "UnauthorizedOperation",
    }
)
_NO_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_POLICY = "python -m dockerparallel_ecs_fargate_provider policy"


def explained(error: botocore.exceptions.ClientError, service: str, action: str) -> AWSError:
    """Return the error for what AWS answered; its ``code`` is AWS's own."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    text = str(error.response.get("Error", {}).get("Message", ""))
    said = f"AWS refused {service}:{action}: {code}: {text.rstrip('.')}"
    if code in _DENIED:
        return AWSPermissionError(
            f"{said}. The policy of the caller lacks it: '{_POLICY}' prints all that the "
            "provider needs, for whoever manages the account.",
            code=code,
        )
    if code in _NO_CREDENTIALS:
        return CredentialsError(
            f"{said}. The credentials are wrong or have expired: 'aws sts get-caller-identity' "
            "tells whether they work.",
            code=code,
        )
    if throttled(code, text):
        return ThrottledError(
            f"{said}. It was tried again and again: other programs of this account call AWS too "
            "often, or its quota of calls is low. Try again later.",
            code=code,
        )
    return AWSError(said, code=code, text=text)


def without_answer(error: botocore.exceptions.BotoCoreError, service: str, action: str) -> AWSError:
    """Return the error for a call that AWS did not answer."""
    if isinstance(
        error,
        botocore.exceptions.NoCredentialsError
        | botocore.exceptions.PartialCredentialsError
        | botocore.exceptions.CredentialRetrievalError
        | botocore.exceptions.TokenRetrievalError
        | botocore.exceptions.SSOError,
    ):
        return CredentialsError(
            f"AWS cannot be called without credentials ({error}): run 'aws configure' or "
            "'aws sso login', set AWS_PROFILE, or pass session=boto3.Session(...)."
        )
    if isinstance(error, botocore.exceptions.ConnectionError | botocore.exceptions.HTTPClientError):
        return AWSUnreachableError(
            f"AWS did not answer {service}:{action} ({error}): look at the network of this "
            "machine, its proxy, and the region."
        )
    return AWSError(f"{service}:{action} could not be called: {error}")
