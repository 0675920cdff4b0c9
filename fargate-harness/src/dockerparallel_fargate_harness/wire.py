"""AWS's protocols on the wire: what a request asks for, and how an error or answer is written.

The services differ in two ways only. ECS, SSM, Secrets Manager and Logs speak JSON and name the
action in ``X-Amz-Target``; EC2, IAM and STS send a form with ``Action=`` and answer in XML.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4
from xml.sax.saxutils import escape

from dockerparallel_fargate_harness.errors import AwsError
from dockerparallel_fargate_harness.forms import parameters_of_form

ACCOUNT = "123456789012"
SERVICES_OF_TARGETS = {
    "AmazonEC2ContainerServiceV20141113": "ecs",
    "AmazonSSM": "ssm",
    "secretsmanager": "secretsmanager",
    "Logs_20140328": "logs",
}
FIRST_ERROR = 400
FORM_SERVICES = ("ec2", "iam", "sts")
_SCOPE = re.compile(r"Credential=[^/,]+/\d{8}/([^/]+)/([^/]+)/aws4_request")


@dataclass(frozen=True)
class AwsRequest:
    """One call of AWS's API.

    Parameters
    ----------
    service : str
        As boto3 names it, such as ``"ecs"``.
    action : str
        Such as ``"RunTask"``.
    parameters : dict
        The arguments, shaped as boto3 takes them.
    region : str
        Where the caller sent it.
    """

    service: str
    action: str
    parameters: dict[str, Any] = field(default_factory=dict)
    region: str = "us-east-1"

    def text(self, name: str, default: str = "") -> str:
        """Return one argument as text, or the default where it is absent."""
        value = self.parameters.get(name)
        return default if value is None else str(value)

    def items(self, name: str) -> list[Any]:
        """Return one argument that is a list, or an empty one where it is absent."""
        return list(self.parameters.get(name) or [])


def parse(environ: dict[str, Any], body: bytes) -> AwsRequest | None:
    """Read a request of the services that the harness knows; None for any other."""
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    region, signed_for = scope.groups() if scope else ("us-east-1", "")
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        prefix, _, action = target.rpartition(".")
        service = SERVICES_OF_TARGETS.get(prefix)
        if service is None:
            return None
        return AwsRequest(service, action, json.loads(body or b"{}"), region)
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    if "Action" in form and signed_for in FORM_SERVICES:
        parameters = parameters_of_form(signed_for, form)
        return AwsRequest(signed_for, form["Action"], parameters, region)
    return None


@dataclass(frozen=True)
class Answer:
    """An answer over HTTP.

    Parameters
    ----------
    status : int
        The HTTP status.
    content_type : str
        The media type of the body.
    body : bytes
        What is sent.
    """

    status: int
    content_type: str
    body: bytes


def json_answer(value: Any, status: int = 200) -> Answer:
    """Answer as the JSON services do."""
    return Answer(status, "application/x-amz-json-1.1", json.dumps(value).encode())


def error_answer(service: str, error: AwsError) -> Answer:
    """Answer with an error in the protocol of the service."""
    if service not in FORM_SERVICES:
        body = {"__type": error.code, "message": error.message, "Message": error.message}
        return json_answer(body, error.status)
    what = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    if service == "ec2":
        text = (
            f"<Response><Errors><Error>{what}</Error></Errors>"
            f"<RequestID>{uuid4()}</RequestID></Response>"
        )
    else:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type>{what}</Error>"
            f"<RequestId>{uuid4()}</RequestId></ErrorResponse>"
        )
    return Answer(error.status, "text/xml", text.encode())


def error_code(answer: Answer) -> str | None:
    """Return the error code that an answer of moto or of the harness holds, if it is an error."""
    if answer.status < FIRST_ERROR:
        return None
    text = answer.body.decode(errors="replace")
    if found := re.search(r"<Code>([^<]*)</Code>", text):
        return found.group(1)
    try:
        kind = json.loads(text).get("__type", "")
    except (ValueError, AttributeError):
        # Not an answer of AWS's protocols: the status is all that there is to say.
        return str(answer.status)
    return str(kind).rpartition("#")[2]
