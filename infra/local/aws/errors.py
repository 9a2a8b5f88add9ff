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


def error_reply(request: Request, wanted: str) -> Reply:
    """The answer that makes an AWS SDK raise `wanted`; `throttle` is what the service calls it."""
    code = _THROTTLE_CODES.get(request.service, "Throttling") if wanted == THROTTLE else wanted
    status = _STATUSES.get(code, 400)
    usual = "Rate exceeded" if status < 500 else "We encountered an internal error. Please try again."
    message, side = _MESSAGES.get(code, usual), "Sender" if status < 500 else "Receiver"
    if request.protocol == "json":
        kind = f"{_NAMESPACES.get(request.service, request.service)}#{code}"
        headers = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-query-error": f"{code};{side}"}
        body = json.dumps({"__type": kind, "message": message})
    else:
        headers, body = {"Content-Type": "text/xml"}, _xml(request.protocol, code, escape(message), side)
    return Reply(status, (("x-amzn-RequestId", str(uuid.uuid4())), *headers.items()), body.encode())


def _xml(protocol: Protocol, code: str, message: str, side: str) -> str:
    told = f"<Code>{code}</Code><Message>{message}</Message>"
    if protocol == "ec2":
        return f"<Response><Errors><Error>{told}</Error></Errors><RequestID>{uuid.uuid4()}</RequestID></Response>"
    error = f"<Error><Type>{side}</Type>{told}</Error>"
    return f"<ErrorResponse>{error}<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
