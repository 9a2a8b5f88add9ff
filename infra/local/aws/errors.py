"""Errors as AWS puts them on the wire, per protocol: what a fault answers instead of moto."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

from infra.local.aws.request import Protocol, Reply, Request

THROTTLE: Final = "throttle"
# What each service calls "too many requests".
_THROTTLE_CODES: Final[Mapping[str, str]] = {
    "dynamodb": "ProvisionedThroughputExceededException",
    "ec2": "RequestLimitExceeded",
    "sqs": "RequestThrottled",
}
_STATUSES: Final[Mapping[str, int]] = {
    "RequestThrottled": 403,  # without it botocore does not repeat the call
    "InternalFailure": 500,
    "InternalError": 500,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
    "Unavailable": 503,
    "RequestLimitExceeded": 503,
}
_MESSAGES: Final[Mapping[str, str]] = {
    "ProvisionedThroughputExceededException": (
        "The level of configured provisioned throughput for the table was exceeded. "
        "Consider increasing your provisioning level with the UpdateTable API."
    ),
    "RequestLimitExceeded": "Request limit exceeded.",
    "AccessDenied": "User is not authorized to perform this action",
    "AccessDeniedException": "User is not authorized to perform this action",
}
_NAMESPACES: Final[Mapping[str, str]] = {
    "dynamodb": "com.amazonaws.dynamodb.v20120810",
    "sqs": "com.amazonaws.sqs",
}


def code_for(service: str, wanted: str) -> str:
    """The error code a service uses for what a knob asks."""
    if wanted == THROTTLE:
        return _THROTTLE_CODES.get(service, "Throttling")
    return wanted


def error_reply(request: Request, wanted: str) -> Reply:
    """The answer that makes an AWS SDK raise `wanted`."""
    code = code_for(request.service, wanted)
    status = _STATUSES.get(code, 400)
    message = _MESSAGES.get(code, _default_message(status))
    body, headers = _wire(request.protocol, request.service, code, message, status)
    return Reply(status, (("x-amzn-RequestId", str(uuid.uuid4())), *headers), body.encode())


def _default_message(status: int) -> str:
    return "Rate exceeded" if status < 500 else "We encountered an internal error. Please try again."


def _wire(
    protocol: Protocol, service: str, code: str, message: str, status: int
) -> tuple[str, tuple[tuple[str, str], ...]]:
    if protocol == "json":
        return _json(service, code, message, status)
    text = escape(message)
    if protocol == "ec2":
        errors = f"<Errors><Error><Code>{code}</Code><Message>{text}</Message></Error></Errors>"
        return f"<Response>{errors}<RequestID>{uuid.uuid4()}</RequestID></Response>", _XML
    error = f"<Error><Type>{_side(status)}</Type><Code>{code}</Code><Message>{text}</Message></Error>"
    return f"<ErrorResponse>{error}<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>", _XML


_XML: Final = (("Content-Type", "text/xml"),)


def _json(service: str, code: str, message: str, status: int) -> tuple[str, tuple[tuple[str, str], ...]]:
    kind = f"{_NAMESPACES.get(service, service)}#{code}"
    headers = (("Content-Type", "application/x-amz-json-1.0"), ("x-amzn-query-error", f"{code};{_side(status)}"))
    return json.dumps({"__type": kind, "message": message}), headers


def _side(status: int) -> str:
    return "Receiver" if status >= 500 else "Sender"
