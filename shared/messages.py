"""The wire format: one request as it travels through SQS (CONTRACT section 3).

`parse_body` takes what stands in the queue, `parse_request` a JSON object; both say in one sentence why something
can never be valid. Who sent it and what becomes of it is not this module's business.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from shared.errors import InvalidRequest

Direction = Literal["up", "down"]
Role = Literal["worker", "manager"]
Action = Literal["scale-nodes", "scale-service", "reschedule-services", "reschedule-service"]

ACTIONS: tuple[Action, ...] = ("scale-nodes", "scale-service", "reschedule-services", "reschedule-service")

MAX_BY = 10_000
MAX_REQUEST_BYTES = 64 * 1024
"""A request is written into one DynamoDB item (400 KB at most) beside its history; a real one is under 1 KB."""

MAX_ID_BYTES = 512


def _whole_number(value: object) -> object:
    """`by` as people and label values write it: a JSON integer or ASCII digits; never a bool or a float."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MAX_BY)) + 8:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_BY:
        raise ValueError(f"Incorrect by: {_shown(value)}, by can only be a whole number from 1 to {MAX_BY}")
    return value


def _rfc3339(value: object) -> object:
    """A moment as RFC 3339 writes it: pydantic takes much besides, epoch seconds for one."""
    if value is not None and not (isinstance(value, str) and _MOMENT.match(value)):
        raise ValueError("must be a moment like 2026-11-24T10:00:00Z")
    return value


_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


def _first_version(value: object) -> object:
    """The one version there is, also where it is not said. True and 1.0 equal 1, and are not it."""
    if value is None:
        return 1
    if type(value) is not int or value != 1:
        raise ValueError("version can only be 1")
    return value


def _plausible(moment: datetime) -> datetime:
    """Moments near the ends of the calendar overflow when they are reckoned with."""
    if not 2000 <= moment.year <= 9000:
        raise ValueError("must lie between the years 2000 and 9000")
    return moment


def _short_enough(request_id: str) -> str:
    """Ids stand in DynamoDB's sort keys, which are bounded in bytes (1024), beside a prefix or a moment."""
    if len(request_id.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise ValueError(f"must have at most {MAX_ID_BYTES} bytes")
    return request_id


RequestId = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_short_enough)]
By = Annotated[int, BeforeValidator(_whole_number)]
Moment = Annotated[AwareDatetime, Field(strict=False), AfterValidator(_plausible)]
ServiceName = Annotated[str, Field(min_length=1, max_length=255)]
Key = Annotated[str, Field(min_length=1, max_length=512)]


class _Request(BaseModel):
    """What every request may say. Unknown fields are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    id: RequestId | None = None
    idempotency_key: Key | None = None
    dedup_key: Key | None = None
    requested_at: Annotated[Moment | None, BeforeValidator(_rfc3339)] = None
    source: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    version: Annotated[Literal[1], BeforeValidator(_first_version)] = 1


class ScaleNodes(_Request):
    """Change the number of nodes of one type. `service` names whose labels hold the bounds."""

    action: Literal["scale-nodes"]
    scale: Direction
    type: Role
    by: By | None = None
    service: ServiceName | None = None


class ScaleService(_Request):
    """Change the number of replicas of one service."""

    action: Literal["scale-service"]
    service: ServiceName
    scale: Direction
    by: By | None = None


class RescheduleServices(_Request):
    """Reschedule every service that carries the reschedule label."""

    action: Literal["reschedule-services"]


class RescheduleService(_Request):
    """Reschedule one service, if it carries the label."""

    action: Literal["reschedule-service"]
    service: ServiceName


Request = ScaleNodes | ScaleService | RescheduleServices | RescheduleService

_MODELS: Mapping[str, type[Request]] = {
    "scale-nodes": ScaleNodes,
    "scale-service": ScaleService,
    "reschedule-services": RescheduleServices,
    "reschedule-service": RescheduleService,
}

# The sentences that callers of docker-scaler know. `{}` is what was given.
_SENTENCES: Mapping[tuple[str, str], tuple[str, str]] = {
    # (action, field): (when it is missing, when it is wrong)
    ("scale-nodes", "scale"): ("No scale direction", "Incorrect scale direction"),
    ("scale-nodes", "type"): (
        "Incorrect node type: , type can only be worker or manager",
        "Incorrect node type: {}, type can only be worker or manager",
    ),
    ("scale-service", "service"): ("No service name in request", "Incorrect service name in request"),
    ("scale-service", "scale"): ("No scale direction in request", "Incorrect scale direction in request"),
    ("reschedule-service", "service"): ("No service name in request", "Incorrect service name in request"),
}


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
    action = value.get("action")
    model = _MODELS.get(action) if isinstance(action, str) else None
    if model is None:
        shown = "No action" if action is None else f"Unknown action: {_shown(action)}"
        raise InvalidRequest(f"{shown}, action can only be one of {', '.join(ACTIONS)}")
    try:
        return model.model_validate({**value, "action": action})
    except ValidationError as error:
        raise InvalidRequest(_sentence(str(action), error)) from error


def _sentence(action: str, error: ValidationError) -> str:
    """The first thing that is wrong, in the order of the model's fields, required ones first."""
    problems = sorted(error.errors(), key=lambda problem: (action, str(problem["loc"][0])) not in _SENTENCES)
    problem = problems[0]
    field, given = str(problem["loc"][0]), problem["input"]
    missing = problem["type"] == "missing" or given is None or given == ""
    if (action, field) in _SENTENCES:
        return _SENTENCES[action, field][0 if missing else 1].format(_shown(given))
    words = str(problem["msg"]).removeprefix("Value error, ")
    return words if field == "by" else f"Incorrect {field}: {_shown(given)} ({words})"


def _shown(value: object) -> str:
    """A value as a sentence quotes it: short, and on one line."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
