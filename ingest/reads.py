"""The GETs: what there is and what became of requests, how ingest is, and what it can do."""

from sanic import HTTPResponse, Request
from sanic.exceptions import NotFound
from sanic.response import html, json, raw

from ingest import metrics
from ingest.answers import answer
from ingest.existing import UNKNOWN
from ingest.openapi import LISTED, MOST_LISTED, Document, description
from ingest.overview import FRESH_FOR_METRICS_SECONDS, Overview
from ingest.page import page
from ingest.ports import Inbox, Journal
from ingest.query import Query
from ingest.settings import IngestSettings
from shared.errors import InvalidRequest
from shared.fields import shown
from shared.records import State


class Reads:
    """What there is, and what became of requests."""

    def __init__(self, journal: Journal, overview: Overview) -> None:
        self._journal = journal
        self._overview = overview

    async def status(self, request: Request) -> HTTPResponse:
        """The whole cluster at a glance."""
        Query.parse(request.query_string).check(())
        return json((await self._overview.status()).document())

    async def one(self, request: Request, request_id: str) -> HTTPResponse:
        """One request's record."""
        Query.parse(request.query_string).check(())
        records = await self._journal.records([request_id])
        if request_id not in records:
            raise NotFound(UNKNOWN)
        return json(records[request_id].view())

    async def newest(self, request: Request) -> HTTPResponse:
        """The newest requests."""
        query = Query.parse(request.query_string)
        query.check(("limit", "state"))
        records = await self._journal.newest(_limit(query), _state(query))
        return json({"requests": [record.view() for record in records]})


def _limit(query: Query) -> int:
    text = query.one("limit") or str(LISTED)
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MOST_LISTED):
        raise InvalidRequest(f"Incorrect limit, limit can only be a whole number from 1 to {MOST_LISTED}")
    return int(text)


def _state(query: Query) -> State | None:
    text = query.one("state")
    if text is None:
        return None
    try:
        return State(text)
    except ValueError as error:
        known = ", ".join(State)
        raise InvalidRequest(f"Incorrect state: {shown(text)}, state can only be one of {known}") from error


class Status:
    """How ingest is, and what it can do."""

    def __init__(self, inbox: Inbox, counted: metrics.Metrics, overview: Overview, settings: IngestSettings) -> None:
        self._inbox = inbox
        self._counted = counted
        self._overview = overview
        self._settings = settings

    async def alive(self, _request: Request) -> HTTPResponse:
        """The process answers."""
        return answer(200, "ingest is alive")

    async def ready(self, _request: Request) -> HTTPResponse:
        """Requests could be queued."""
        await self._inbox.check()
        return answer(200, "SQS answers")

    async def metrics(self, _request: Request) -> HTTPResponse:
        """Counters for Prometheus, and what is wrong."""
        status = await self._overview.known(FRESH_FOR_METRICS_SECONDS)
        return raw(self._counted.text(status.problems), content_type=metrics.CONTENT_TYPE)

    async def docs(self, _request: Request) -> HTTPResponse:
        """The description, for people."""
        return html(page(self._description()))

    async def openapi(self, _request: Request) -> HTTPResponse:
        """The description, for programs."""
        return json(self._description())

    def _description(self) -> Document:
        return description(self._settings.server_prefix, guarded=self._settings.webhook_token is not None)
