"""The streams of `/events`: what has happened since a moment, then what happens, until a moment or for good."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from infra.local.engine import params
from infra.local.engine.clock import Clock
from infra.local.engine.events import Event, EventLog
from infra.local.engine.filters import Filters, admits_event
from infra.local.engine.middlewares import ENGINE_HEADERS
from infra.local.engine.views import dump, event_view


class EventStreams:
    """Of one engine."""

    def __init__(self, events: EventLog, clock: Clock) -> None:
        self._events = events
        self._clock = clock
        self._streams: set[asyncio.Task[Any]] = set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        filters = params.filters(request, None)
        since, until = params.moment(request, "since"), params.moment(request, "until")
        response = web.StreamResponse(headers={"Content-Type": "application/json", **ENGINE_HEADERS})
        with self._events.subscription(since) as (past, queue), self._open_stream():
            await response.prepare(request)
            for event in past:
                if until is None or event.time_ns <= until:
                    await _send(response, event, filters)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds_until(until)):
                    while True:
                        await _send(response, await queue.get(), filters)
        return response

    def _seconds_until(self, until_ns: int | None) -> float | None:
        return None if until_ns is None else max(0.0, (until_ns - self._clock.now_ns()) / 1e9)

    @contextlib.contextmanager
    def _open_stream(self) -> Iterator[None]:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("streams are served inside a task")
        self._streams.add(task)
        try:
            yield
        finally:
            self._streams.discard(task)

    async def end(self, _: web.Application) -> None:
        for task in self._streams:
            task.cancel()


async def _send(response: web.StreamResponse, event: Event, filters: Filters) -> None:
    if admits_event(filters, event):
        await response.write(dump(event_view(event)).encode() + b"\n")
