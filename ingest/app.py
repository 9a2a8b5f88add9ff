"""The HTTP service: which routes there are, who may use them, and which status code says what (CONTRACT section 2)."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote
from uuid import uuid4

import structlog
from sanic import HTTPResponse, Request, Sanic
from sanic.config import Config
from sanic.exceptions import NotFound, SanicException, Unauthorized
from sanic.response import html, json, raw

from ingest import bodies, metrics
from ingest.answers import Errors, answer
from ingest.auth import CHALLENGE, Gate
from ingest.bad_requests import BadRequests
from ingest.connection import Deadlines, Exchange
from ingest.openapi import LISTED, MOST_LISTED, Document, description
from ingest.outcomes import NotYet, Outcomes
from ingest.page import page
from ingest.patience import patience
from ingest.ports import Inbox, Journal
from ingest.query import Query
from ingest.settings import IngestSettings
from ingest.translate import Ignored, Post, translate
from shared.actions import ACTIONS, Action
from shared.clock import Clock
from shared.errors import InvalidRequest, ScalerError
from shared.records import Record, State

_CODES = {State.SUCCEEDED: 200, State.SKIPPED: 200, State.FAILED: 500}

_log = structlog.get_logger(__name__)

Handler = Callable[..., Coroutine[Any, Any, HTTPResponse]]
App = Sanic[Config, SimpleNamespace]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the service is made of."""

    settings: IngestSettings
    inbox: Inbox
    journal: Journal
    outcomes: Outcomes
    bad_requests: BadRequests
    clock: Clock
    deadlines: Deadlines = field(default_factory=Deadlines)


def create_app(parts: Parts) -> App:
    """The service, not serving yet. One at a time in a process; `Sanic.unregister_app` makes room."""
    app: App = Sanic("ingest", config=_config(), error_handler=Errors(), configure_logging=False)
    app.ctx.deadlines = parts.deadlines
    counted = metrics.Metrics(lambda: parts.outcomes.waiting)
    token = parts.settings.webhook_token
    gate = Gate(None if token is None else token.get_secret_value())
    add = partial(_add, app, gate)
    posts, reads, status = Posts(parts, counted), Reads(parts.journal), Status(parts.inbox, counted, parts.settings)
    for prefix in _prefixes(parts.settings):
        for action in ACTIONS.values():
            add("POST", f"{prefix}{action.route}", partial(posts.post, action, prefix))
        add("GET", f"{prefix}/v1/requests/<request_id:str>", reads.one)
        add("GET", f"{prefix}/v1/requests", reads.newest)
        add("GET", f"{prefix}/v1/ping", status.alive, guarded=False)
    add("GET", "/healthz", status.alive, guarded=False)
    add("GET", "/readyz", status.ready)
    add("GET", "/metrics", status.metrics)
    add("GET", "/docs", status.docs)
    add("GET", "/docs/openapi.json", status.openapi)
    app.on_request(_begun)
    app.on_response(partial(_answered, counted))  # type: ignore[no-untyped-call]  # Sanic's
    return app


class Posts:
    """The ways to ask for something."""

    def __init__(self, parts: Parts, counted: metrics.Metrics) -> None:
        self._settings = parts.settings
        self._inbox = parts.inbox
        self._outcomes = parts.outcomes
        self._bad_requests = parts.bad_requests
        self._clock = parts.clock
        self._counted = counted
        self._bodies = bodies.Bodies()

    async def post(self, action: Action, prefix: str, request: Request) -> HTTPResponse:
        """Queue what is asked for."""
        if action.needs_backend and self._settings.node_scaler_backend == "none":
            raise NotFound("Node scaling is switched off (NODE_SCALER_BACKEND is none)")
        body = await self._bodies.read(_chunks(request), request.headers.getone("content-length", None))
        try:
            return await self._accept(action, prefix, request, body)
        except InvalidRequest as error:
            _log.info("request refused", action=action.name, reason=str(error))
            await self._bad_requests.tell(action, str(error))
            raise

    async def _accept(self, action: Action, prefix: str, request: Request, body: bytes) -> HTTPResponse:
        query = Query.parse(request.query_string)
        wait = patience(query, request.headers.getall("prefer", []), self._settings.default_wait)
        key = _header(request, "idempotency-key")
        request_id = str(uuid4())
        post = Post(action=action, query=query, body=body, idempotency_key=key)
        message = translate(post, request_id, self._clock.now())
        if isinstance(message, Ignored):
            return answer(200, f"Ignored: {message.reason}")
        await self._send(message)
        outcome = await self._outcomes.outcome(request_id, wait) if wait else None
        return _outcome_answer(request_id, f"{prefix}/v1/requests/{request_id}", outcome)

    async def _send(self, message: dict[str, object]) -> None:
        try:
            await self._inbox.send(message)
        except ScalerError as error:
            self._counted.not_queued()
            _log.error("request not queued", id=message["id"], action=message["action"], error=str(error))
            text = f"The request may not have been queued, repeat it (with an Idempotency-Key): {error}"
            raise SanicException(text, status_code=503, quiet=True) from error
        _log.info("request queued", **{name: message.get(name) for name in _LOGGED})


_LOGGED = ("id", "action", "scale", "type", "by", "service", "source")


class Reads:
    """What became of requests."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def one(self, request: Request, request_id: str) -> HTTPResponse:
        """One request's record."""
        records = await self._journal.records([request_id])
        if request_id not in records:
            raise NotFound("There is no such request, or no worker has taken it yet")
        return json(records[request_id].view())

    async def newest(self, request: Request) -> HTTPResponse:
        """The newest requests."""
        records = await self._journal.newest(_limit(Query.parse(request.query_string)))
        return json({"requests": [record.view() for record in records]})


class Status:
    """How ingest is, and what it can do."""

    def __init__(self, inbox: Inbox, counted: metrics.Metrics, settings: IngestSettings) -> None:
        self._inbox = inbox
        self._counted = counted
        self._settings = settings

    async def alive(self, _request: Request) -> HTTPResponse:
        """The process answers."""
        return answer(200, "ingest is alive")

    async def ready(self, _request: Request) -> HTTPResponse:
        """Requests could be queued."""
        await self._inbox.check()
        return answer(200, "SQS answers")

    async def metrics(self, _request: Request) -> HTTPResponse:
        """Counters for Prometheus."""
        return raw(self._counted.text(), content_type=metrics.CONTENT_TYPE)

    async def docs(self, _request: Request) -> HTTPResponse:
        """The description, for people."""
        return html(page(self._description()))

    async def openapi(self, _request: Request) -> HTTPResponse:
        """The description, for programs."""
        return json(self._description())

    def _description(self) -> Document:
        return description(self._settings.server_prefix, guarded=self._settings.webhook_token is not None)


def _config() -> Config:
    """Sanic's configuration: none of it from the environment. Deadlines are those of `connection`."""
    config = Config(env_prefix=None)
    config.ACCESS_LOG = False
    config.MOTD = False
    config.AUTO_EXTEND = False
    config.FALLBACK_ERROR_FORMAT = "json"
    config.REQUEST_MAX_SIZE = bodies.LONGEST
    return config


def _prefixes(settings: IngestSettings) -> Iterator[str]:
    yield ""
    if settings.server_prefix:
        yield settings.server_prefix


def _add(app: App, gate: Gate, method: str, path: str, handler: Handler, *, guarded: bool = True) -> None:
    """A route. Handlers of POSTs read their bodies themselves, after the caller was let in."""
    name = f"{method}{path}".translate(str.maketrans("/<>:.~-", "_______"))
    methods = ["GET", "HEAD"] if method == "GET" else [method]
    handle = partial(_guarded, gate, handler) if guarded else handler
    reads_body = method == "POST"
    route = app.route(path, methods=methods, name=name, stream=reads_body, ignore_body=not reads_body, unquote=True)
    route(handle)


async def _guarded(gate: Gate, handler: Handler, request: Request, **parameters: str) -> HTTPResponse:
    if not gate.admits(_header(request, "authorization")):
        raise Unauthorized("The token is missing or wrong", headers={"WWW-Authenticate": CHALLENGE})
    return await handler(request, **parameters)


def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it arrives."""
    return aiter(cast("Exchange", request.stream))


def _header(request: Request, name: str) -> str | None:
    value: str | None = request.headers.getone(name, None)
    return value.strip() if value and value.strip() else None


def _limit(query: Query) -> int:
    text = query.one("limit") or str(LISTED)
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MOST_LISTED):
        raise InvalidRequest(f"Incorrect limit, limit can only be a whole number from 1 to {MOST_LISTED}")
    return int(text)


def _outcome_answer(request_id: str, location: str, outcome: Record | NotYet | None) -> HTTPResponse:
    code, message = _code_and_message(outcome)
    response = answer(code, message, id=request_id)
    response.headers["Location"] = quote(location)
    return response


def _code_and_message(outcome: Record | NotYet | None) -> tuple[int, str]:
    match outcome:
        case Record():
            return _CODES[outcome.state], outcome.message
        case NotYet():
            return 202, f"Queued ({outcome.reason})"
        case None:
            return 202, "Queued"


async def _begun(request: Request) -> None:
    request.ctx.begun = perf_counter()


async def _answered(counted: metrics.Metrics, request: Request, response: HTTPResponse) -> None:
    route = "unknown" if request.route is None else f"/{request.route.path}"
    begun = getattr(request.ctx, "begun", None)
    counted.answered(route, response.status, 0.0 if begun is None else perf_counter() - begun)
