"""A stand-in for Alertmanager and the Slack behind it, over HTTP.

`POST /api/v2/alerts` takes alerts, `GET /api/v2/alerts` shows those that last (its `filter` is `matchers`' work),
`GET /slack` what Slack has said (a line each, the newest last), `GET /-/healthy`. What an alert is and what is said of
it is `board`'s work.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal

from aiohttp import web

from infra.local.board import BadAlerts, Board, spoken
from infra.local.matchers import BadMatcher, Matcher, meant

Fault = Literal["none", "hang", "fail"]


class Receiver:
    """The server's side; `app` is to be served. On the event loop that it is served on."""

    def __init__(self) -> None:
        self.board = Board()
        self._fault: Fault = "none"
        self._mended = asyncio.Event()
        self._mended.set()

    @property
    def fault(self) -> Fault:
        """What is wrong with it now: nothing, posts are not answered (`hang`), or with 500 (`fail`)."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        if fault == "hang":
            self._mended.clear()
        else:
            self._mended.set()

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_post("/api/v2/alerts", self._post)
        app.router.add_get("/api/v2/alerts", self._alerts)
        app.router.add_get("/slack", self._slack)
        app.router.add_get("/-/healthy", self._healthy)
        return app

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.read()
        await self._mended.wait()
        if self._fault == "fail":
            return _said(HTTPStatus.INTERNAL_SERVER_ERROR, "told to fail")
        try:
            self.board.post(json.loads(body), _now())
        except ValueError as error:
            return _said(HTTPStatus.BAD_REQUEST, str(error) if isinstance(error, BadAlerts) else f"no JSON: {error}")
        return web.Response()

    async def _alerts(self, request: web.Request) -> web.Response:
        try:
            matchers = [Matcher.parse(text) for text in request.query.getall("filter", [])]
        except BadMatcher as error:
            return _said(HTTPStatus.BAD_REQUEST, str(error))
        found = [alert for alert in self.board.active(_now()) if meant(alert.labels, matchers)]
        return web.json_response([alert.document() for alert in found])

    async def _slack(self, _request: web.Request) -> web.Response:
        return web.Response(text="".join(f"{spoken(message)}\n" for message in self.board.messages))

    async def _healthy(self, _request: web.Request) -> web.Response:
        return web.Response(text="OK")


def _said(status: HTTPStatus, text: str) -> web.Response:
    return web.json_response(text, status=status)


def _now() -> datetime:
    return datetime.now(UTC)
