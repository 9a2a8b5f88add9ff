"""The wire format: one request as it travels through SQS.

`parse_body` takes what stands in the queue, `parse_request` a JSON object; both say in one sentence why something
can never be valid. Which actions there are is the registry's (`shared.actions`); who sent a request and what becomes
of it is not this module's business.
"""

import json
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from functools import lru_cache
from math import isfinite
from typing import Any, NoReturn

from pydantic import ValidationError

from shared.action import Action, Request
from shared.actions import ACTIONS
from shared.errors import InvalidRequest
from shared.fields import shown

MAX_REQUEST_BYTES = 64 * 1024
"""A request is written into one DynamoDB item (400 KB at most) beside its history; a real one is under 1 KB."""

MAX_DEPTH = 100
"""Levels of arrays and objects in one another."""


def parse_body(body: str | bytes) -> dict[str, Any]:
    """The JSON object in a message body, to be kept whole. Raises InvalidRequest.

    Lone surrogates, which no database takes, are replaced where no action reads them.
    """
    size = len(body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))
    if size > MAX_REQUEST_BYTES:
        raise InvalidRequest(f"The request is {size} bytes long, {MAX_REQUEST_BYTES} are allowed")
    value = parse_object(body)
    read = {name for action in ACTIONS.values() for name in action.fields}
    return {_storable(key): item if key in read else _storable(item) for key, item in value.items()}


def parse_object(body: str | bytes) -> dict[str, Any]:
    """The JSON object in a text of any size; a byte order mark in front of it is passed over. Raises InvalidRequest.

    Strings may hold lone surrogates, as JSON can: the fields that are read refuse them, the others do no harm.
    """
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
        value = json.loads(text.removeprefix(_BYTE_ORDER_MARK), parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not valid UTF-8 (byte {error.start + 1})") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {_json_words(error)}") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"The body must be a JSON object, not {_kind(value)}")
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper(value, MAX_DEPTH):
        raise InvalidRequest(f"The body is nested more than {MAX_DEPTH} levels deep")
    return value


_BYTE_ORDER_MARK = "\ufeff"


def parse_request(value: Mapping[str, Any]) -> Request:
    """The request that a JSON object stands for. Raises InvalidRequest with the sentence for its sender."""
    name = value.get("action")
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        given = "No action" if name is None else f"Unknown action: {shown(name)}"
        raise InvalidRequest(f"{given}, action can only be one of {', '.join(ACTIONS)}", field="action")
    refuse_dry_run(value.keys() - action.fields.keys())
    try:
        return action.model.model_validate(value)
    except ValidationError as error:
        raise _invalid(action, error) from error


def refuse_dry_run(names: Iterable[str]) -> None:
    """Raise InvalidRequest where one of the names means a dry run and is not how one is asked for: never do it."""
    name = next((name for name in names if len(name) <= _LONGEST_NAME and _means_dry_run(name)), None)
    if name is not None:
        raise InvalidRequest(f"{shown(name)}: {_HOW}, nothing is done", field=name)


@lru_cache(maxsize=1024)
def _means_dry_run(name: str) -> bool:
    letters = "".join(filter(str.isalnum, name)).lower()
    return SequenceMatcher(None, letters, "dryrun").ratio() >= _ALIKE


_HOW = "a dry run is asked for with dry_run=true in the query, or in a message of version 2 with the field dry_run"
_LONGEST_NAME = 20
_ALIKE = 0.8
"""`dryRun`, `dry-run`, `dry_rn` and `dryrun2` are alike enough, `drain`, `rerun` and `dry` are not."""


def _invalid(action: Action, error: ValidationError) -> InvalidRequest:
    """The first thing that is wrong, in the order of the model's fields, those with sentences of their own first."""
    problem = min(error.errors(), key=lambda problem: str(problem["loc"][0]) not in action.sentences)
    field, given = str(problem["loc"][0]), problem["input"]
    return InvalidRequest(_sentence(action, field, given, problem), field=field)


def _sentence(action: Action, field: str, given: object, problem: Mapping[str, Any]) -> str:
    missing = problem["type"] == "missing" or given is None or given == ""
    if field in action.sentences:
        sentences = action.sentences[field]
        return sentences.missing if missing else sentences.wrong.format(shown(given))
    words = _WORDS.get(problem["type"]) or str(problem["msg"]).removeprefix("Value error, ")
    return words if field == "by" else f"Incorrect {field}: {shown(given)} ({words})"


_WORDS = {"string_unicode": "must be text that UTF-8 can carry", "string_type": "must be a string"}


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _storable(value: Any) -> Any:
    """A value with U+FFFD in place of lone surrogates."""
    match value:
        case str():
            return value if value.isascii() else value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        case dict():
            return {_storable(key): _storable(item) for key, item in value.items()}
        case list():
            return [_storable(item) for item in value]
        case _:
            return value


def _deeper(value: object, levels: int) -> bool:
    """Whether arrays and objects stand in each other on more levels: what reads or writes them recurses."""
    inner: list[object] = [value]
    for _ in range(levels + 1):
        inner = [item for outer in inner for item in _items(outer)]
        if not inner:
            return False
    return True


def _items(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class _NotJson(ValueError):
    """What Python's reader would take, and JSON does not have."""


def _no_constant(name: str) -> NoReturn:
    raise _NotJson(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _NotJson(f"{shown(text)} is too large a number")
    return number


def _json_words(error: ValueError | RecursionError) -> str:
    match error:
        case json.JSONDecodeError():
            return f"{error.msg.removesuffix(' at')}, line {error.lineno}, column {error.colno}"
        case _NotJson():
            return str(error)
        case RecursionError():
            return "it is nested too deep"
        case _:
            return "a number has too many digits"
