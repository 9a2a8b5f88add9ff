"""The POSTs: reading what is asked for, queueing it, and answering, with the outcome where the caller waits for it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import quote
from uuid import uuid4

import structlog
from sanic import HTTPResponse, Request
from sanic.exceptions import NotFound, SanicException

from ingest import existing
from ingest.answers import answer
from ingest.auth import Gate
from ingest.bad_requests import BadRequests
from ingest.bodies import Bodies
from ingest.caller import Caller
from ingest.headers import header
from ingest.metrics import Metrics
from ingest.outcomes import NotYet, Outcomes
from ingest.ports import Inbox, Journal
from ingest.query import Query
from ingest.settings import IngestSettings
from ingest.translate import Ignored, Post, translate
from ingest.wait import longest_wait
from shared.action import Action
from shared.clock import Clock
from shared.errors import InvalidRequest, ScalerError
from shared.records import Record, State

if TYPE_CHECKING:
    from ingest.connection import Exchange

_CODES = {State.SUCCEEDED: 200, State.SKIPPED: 200, State.FAILED: 500}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Posts:
    """The ways to ask for something."""

    settings: IngestSettings
    inbox: Inbox
    journal: Journal
    outcomes: Outcomes
    bad_requests: BadRequests
    clock: Clock
    gate: Gate
    counted: Metrics
    bodies: Bodies = field(default_factory=Bodies)

    async def post(self, action: Action, prefix: str, request: Request, **in_path: str) -> HTTPResponse:
        """Queue what is asked for. `in_path`: the id of the request that it is about, if it is about one."""
        if action.needs_backend and self.settings.node_scaler_backend == "none":
            raise NotFound("Node scaling is switched off (NODE_SCALER_BACKEND is none)")
        body = await self.bodies.read(_chunks(request), request.headers.getone("content-length", None))
        try:
            return await self._accept(action, prefix, request, body, in_path.get("request_id"))
        except InvalidRequest as error:
            _log.info("request_refused", action=action.name, reason=str(error))
            self.counted.refused(action.name)
            await self.bad_requests.tell(action, str(error))
            raise InvalidRequest(str(error), field=error.field, hint=_hint(action, error)) from error

    async def _accept(
        self, action: Action, prefix: str, request: Request, body: bytes, about: str | None
    ) -> HTTPResponse:
        query = Query.parse(request.query_string)
        key = header(request, "idempotency-key")
        request_id = str(uuid4())
        post = Post(
            action=action, query=query, body=body, idempotency_key=key, caller=self._caller(request), about=about
        )
        message = translate(post, request_id, self.clock.now())
        if isinstance(message, Ignored):
            _log.info("delivery_ignored", action=action.name, reason=message.reason)
            return answer(200, f"Ignored: {message.reason}")
        if about is not None:
            await existing.check(self.journal, about)
        wait = longest_wait(query, request.headers.getall("prefer", []), self.settings.default_wait)
        await self._send(message)
        outcome = await self.outcomes.outcome(request_id, wait) if wait else None
        return _outcome_answer(request_id, f"{prefix}/v1/requests/{request_id}", outcome)

    def _caller(self, request: Request) -> Caller:
        return Caller(
            address=request.ip,
            forwarded_for=header(request, "x-forwarded-for"),
            user=self.gate.user(header(request, "authorization")),
        )

    async def _send(self, message: dict[str, object]) -> None:
        try:
            await self.inbox.send(message)
        except ScalerError as error:
            self.counted.not_queued()
            _log.error("request_not_queued", request=message["id"], action=message["action"], error=str(error))
            text = f"The request may not have been queued, repeat it (with an Idempotency-Key): {error}"
            raise SanicException(text, status_code=503, quiet=True) from error
        _log.info(
            "request_queued", request=message["id"], **{name: message[name] for name in _LOGGED if name in message}
        )


_LOGGED = ("action", "scale", "type", "by", "service", "source", "asked_by", "reason")


def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it arrives."""
    return aiter(cast("Exchange", request.stream))


def _hint(action: Action, error: InvalidRequest) -> str | None:
    """How to give what is missing or wrong, where that is a parameter."""
    parameter = next((item for item in action.parameters if item.name == error.field and item.place == "query"), None)
    if parameter is None:
        return None
    name, example = parameter.name, parameter.example
    return (
        f"Give {name} in the query, as in {action.route}?{name}={example}, or as the label {name} of groupLabels or "
        f"commonLabels in the body"
    )


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
