"""The wire format: one request as it travels through SQS.

`parse_body` takes what stands in the queue, `parse_request` a JSON object; both say in one sentence why something
can never be valid. Which actions there are is the registry's (`shared.actions`); who sent a request and what becomes
of it is not this module's business.
"""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic import ValidationError

from shared.actions import (
    ACTIONS,
    Action,
    Request,
    RescheduleService,
    RescheduleServices,
    ScaleNodes,
    ScaleService,
)
from shared.errors import InvalidRequest
from shared.fields import MAX_BY, MAX_ID_BYTES, Direction, Key, Role, shown

__all__ = [
    "ACTIONS",
    "MAX_BY",
    "MAX_ID_BYTES",
    "MAX_REQUEST_BYTES",
    "Action",
    "Direction",
    "Key",
    "Request",
    "RescheduleService",
    "RescheduleServices",
    "Role",
    "ScaleNodes",
    "ScaleService",
    "parse_body",
    "parse_object",
    "parse_request",
]

MAX_REQUEST_BYTES = 64 * 1024
"""A request is written into one DynamoDB item (400 KB at most) beside its history; a real one is under 1 KB."""


def parse_body(body: str | bytes) -> dict[str, Any]:
    """The JSON object in a message body. Raises InvalidRequest."""
    size = len(body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))
    if size > MAX_REQUEST_BYTES:
        raise InvalidRequest(f"The request is {size} bytes long, {MAX_REQUEST_BYTES} are allowed")
    return parse_object(body)


def parse_object(body: str | bytes) -> dict[str, Any]:
    """The JSON object in a text of any size. Raises InvalidRequest."""
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
        value = json.loads(text, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode(
            "utf-8"
        )  # lone surrogates would fail later, in the SDK
    except UnicodeError as error:
        raise InvalidRequest(f"The body is not valid UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"The body must be a JSON object, not {_kind(value)}")
    return value


def parse_request(value: Mapping[str, Any]) -> Request:
    """The request that a JSON object stands for. Raises InvalidRequest with the sentence for its sender."""
    name = value.get("action")
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        given = "No action" if name is None else f"Unknown action: {shown(name)}"
        raise InvalidRequest(f"{given}, action can only be one of {', '.join(ACTIONS)}")
    try:
        return action.model.model_validate(value)
    except ValidationError as error:
        raise InvalidRequest(_sentence(action, error)) from error


def _sentence(action: Action, error: ValidationError) -> str:
    """The first thing that is wrong, in the order of the model's fields, those with sentences of their own first."""
    problem = min(error.errors(), key=lambda problem: str(problem["loc"][0]) not in action.sentences)
    field, given = str(problem["loc"][0]), problem["input"]
    missing = problem["type"] == "missing" or given is None or given == ""
    if field in action.sentences:
        sentences = action.sentences[field]
        return sentences.missing if missing else sentences.wrong.format(shown(given))
    words = str(problem["msg"]).removeprefix("Value error, ")
    return words if field == "by" else f"Incorrect {field}: {shown(given)} ({words})"


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
