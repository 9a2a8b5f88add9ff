"""The HTTP service described as an OpenAPI document, built from the models that read what callers send."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from ingest.alertmanager import Webhook
from ingest.bodies import LONGEST as LONGEST_BODY
from ingest.wait import LONGEST as LONGEST_WAIT
from shared.action import Action
from shared.actions import ACTIONS
from shared.fields import MAX_BY, Key, Reason
from shared.records import Record, State
from shared.status import Status

Document = dict[str, Any]

LISTED, MOST_LISTED = 20, 100

_ANSWERS = {
    "200": "Ignored: resolved alerts, the scaler's own, an alarm that is over, a handshake of SNS. Or with `wait`: "
    "ended as `succeeded` or `skipped`, and `message` says what became of it.",
    "202": "Queued. `Location` names the record.",
    "400": "Can never be valid; `message` says why. Alertmanager is told too.",
    "401": "The token is missing or wrong.",
    "403": "A browser sent it from a page of another site.",
    "404": "Node scaling is switched off; of a cancel: there is no such request, or no worker has taken it yet.",
    "409": "Of a cancel: it is too late, or such a request cannot be cancelled; `message` says why.",
    "413": f"The body is longer than {LONGEST_BODY} bytes.",
    "500": "With `wait`: ended as `failed`, and `message` says why.",
    "503": "SQS did not confirm it; repeat it, with an `Idempotency-Key` to be safe.",
}

_EXAMPLES = {
    "The tutorial's": {"groupLabels": {"scale": "up"}},
    "Nothing": {},
}


def description(prefix: str = "", *, guarded: bool = False) -> Document:
    """The whole document. `prefix` is where the `/v1` routes exist too; `guarded` says that a token is wanted."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Docker Scaler: ingest",
            "version": "1",
            "description": "Scales the nodes of a Docker Swarm, and the replicas of its services. Requests are queued; "
            "one active worker does them and tells Alertmanager what happened. A body is JSON, whatever its "
            "`Content-Type`. For each of `scale`, `type`, `by` and `service` the first of these counts: query, "
            "`groupLabels`, `commonLabels`.",
        },
        "servers": [{"url": url} for url in ("/", prefix) if url],
        "security": [{"bearer": []}, {"basic": []}] if guarded else [],
        "paths": {**_posts(), **_reads(), **_status()},
        "components": {
            "schemas": {**_schemas(), "Answer": _ANSWER},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "`WEBHOOK_TOKEN`."},
                "basic": {"type": "http", "scheme": "basic", "description": "`WEBHOOK_TOKEN` as the password."},
            },
        },
    }


_ANSWER = {
    "type": "object",
    "required": ["status", "message"],
    "properties": {
        "status": {"enum": ["OK", "NOK"]},
        "message": {"type": "string"},
        "id": {"type": "string", "description": "Where a request was queued."},
        "hint": {"type": "string", "description": "How to give what is missing or wrong."},
    },
}


def _posts() -> Document:
    return {action.route: {"post": _post(action)} for action in ACTIONS.values()}


def _post(action: Action) -> Document:
    schema = action.model.model_json_schema()["properties"]
    if "by" in schema:
        schema["by"] = {"type": "integer", "minimum": 1, "maximum": MAX_BY}
    named = [
        _parameter("id" if item.place == "path" else item.name, item.description, schema[item.name], item.place)
        for item in action.parameters
    ]
    about = any(item.place == "path" for item in action.parameters)
    possible = {"404": action.needs_backend or about, "409": about}
    codes = {code: text for code, text in _ANSWERS.items() if possible.get(code, True)}
    return {
        "summary": action.summary,
        "description": action.description,
        "operationId": action.name,
        "x-codeSamples": [_curl(action.route, *action.example, method="-X POST ")],
        "parameters": [*named, *_for_all_posts()],
        "requestBody": {
            "description": "Nothing, or Alertmanager's webhook (version 4), or as much of it as is needed.",
            "content": _json("Webhook")
            | {"application/x-www-form-urlencoded": {"schema": {"description": "JSON all the same: curl's default."}}},
        },
        "responses": _errors(codes),
    }


def _curl(route: str, query: str, body: str = "", *, method: str = "") -> Document:
    """A call to try, as Redoc's extension of OpenAPI has it: https://redocly.com/docs-legacy/api-reference-docs/specification-extensions/x-code-samples"""
    data = f" \\\n     -d '{body}'" if body else ""
    return {"lang": "Shell", "source": f'curl {method}"$INGEST_URL{route}{query}"{data}'}


def _for_all_posts() -> list[Document]:
    most = LONGEST_WAIT.total_seconds()
    seconds = {"type": "number", "minimum": 0, "maximum": most}
    key, reason = TypeAdapter(Key).json_schema(), TypeAdapter(Reason).json_schema()
    return [
        _parameter("wait", "Seconds to wait for the outcome before answering.", seconds),
        _parameter("reason", "Why, for whoever reads the record.", reason),
        _parameter(
            "dry_run",
            "`true`: say what would be done, and do nothing. Pauses, resumes and cancels have none.",
            {"type": "boolean"},
        ),
        _parameter("Prefer", "`wait=SECONDS`, where the query does not say.", {"type": "string"}, "header"),
        _parameter("Idempotency-Key", "The same key within 24 hours is the same request.", key, "header"),
    ]


def _reads() -> Document:
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": LISTED}
    listed = {"type": "object", "properties": {"requests": {"type": "array", "items": _ref("Record")}}}
    silent, wrong = {"503": "DynamoDB did not answer."}, {"400": "A parameter is wrong, or not known."}
    absent = {"404": "There is no such request, or no worker has taken it yet."}
    one = _get("One request's record", ("The record.", _ref("Record")), absent | silent)
    one["parameters"] = [_parameter("id", "The request's id.", {"type": "string"}, "path")]
    many = _get("The newest requests", ("Newest first.", listed), wrong | silent)
    many["parameters"] = [
        _parameter("limit", f"How many; {LISTED} where it is not said.", limit),
        _parameter("state", "Only those in this state.", {"type": "string", "enum": list(State)}),
    ]
    many["x-codeSamples"] = [_curl("/v1/requests", "?limit=5")]
    status = _get("The whole cluster at a glance", ("The status.", _ref("Status")), wrong | silent)
    status["description"] = (
        "What the active worker wrote last, with its age, what SQS says, and what is wrong (`problems`). `active` is "
        "null while no worker is active."
    )
    status["x-codeSamples"] = [_curl("/v1/status", "")]
    return {"/v1/status": {"get": status}, "/v1/requests": {"get": many}, "/v1/requests/{id}": {"get": one}}


def _status() -> Document:
    alive = ("Always.", _ref("Answer"))
    ready = _get("Readiness", ("SQS answers.", _ref("Answer")), {"503": "SQS did not answer within 2 seconds."})
    page = {"summary": "The status page", "responses": {"200": {"description": "HTML."}}}
    return {
        "/": {"get": page},
        "/v1/ping": {"get": _get("The process answers", alive) | {"security": []}},
        "/healthz": {"get": _get("Liveness", alive) | {"security": []}},
        "/readyz": {"get": ready},
        "/metrics": {"get": {"summary": "Prometheus metrics", "responses": {"200": {"description": "Text format."}}}},
        "/docs": {"get": {"summary": "This page", "responses": {"200": {"description": "HTML."}}}},
        "/docs/openapi.json": {"get": {"summary": "This document", "responses": {"200": {"description": "JSON."}}}},
    }


def _get(summary: str, good: tuple[str, Document], bad: Mapping[str, str] = MappingProxyType({})) -> Document:
    text, schema = good
    answer = {"200": {"description": text, "content": {"application/json": {"schema": schema}}}}
    return {"summary": summary, "responses": answer | _errors(bad)}


def _errors(described: Mapping[str, str]) -> Document:
    """Answers with a status and a message: code to when."""
    return {code: {"description": text, "content": _json("Answer")} for code, text in described.items()}


def _parameter(name: str, text: str, schema: Document, place: str = "query") -> Document:
    shown = {key: value for key, value in schema.items() if key not in {"title", "default"} or value is not None}
    return {"name": name, "in": place, "required": place == "path", "description": text, "schema": _plain(shown)}


def _plain(schema: Document) -> Document:
    """A schema without the titles that pydantic makes up, and without `or null`: a query has no null."""
    kept = {key: value for key, value in schema.items() if key != "title"}
    options = [option for option in kept.pop("anyOf", []) if option != {"type": "null"}]
    return kept | (options[0] if len(options) == 1 else {})


def _schemas() -> Document:
    """Everything that the document refers to, in one place."""
    found: Document = {}
    for name, model in {"Webhook": Webhook, "Record": Record, "Status": Status}.items():
        schema = TypeAdapter[Any](model).json_schema(
            ref_template="#/components/schemas/{model}", mode="serialization", by_alias=True
        )
        found |= schema.pop("$defs", {})
        found[name] = schema
    found["Webhook"]["examples"] = list(_EXAMPLES.values())
    return found


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str) -> Document:
    return {"application/json": {"schema": _ref(name)}}
