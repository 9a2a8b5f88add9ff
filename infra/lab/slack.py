"""What Slack would show: the end of Alertmanager's Slack receiver.

`POST /slack` takes a message as Slack's incoming webhook does, `GET /slack` tells the texts, one line each.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from aiohttp import web


class Slack:
    """The server's side; `app` is to be served."""

    def __init__(self, on_message: Callable[[str], None] = lambda _text: None) -> None:
        self.messages: list[str] = []
        self._on_message = on_message

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_post("/slack", self._post)
        app.router.add_get("/slack", self._show)
        return app

    async def _post(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        for attachment in body["attachments"]:
            text = " ".join(attachment.get("text", "").split())
            self.messages.append(text)
            self._on_message(text)
        return web.Response(text="ok")

    async def _show(self, _request: web.Request) -> web.Response:
        return web.Response(text="".join(f"{text}\n" for text in self.messages))
