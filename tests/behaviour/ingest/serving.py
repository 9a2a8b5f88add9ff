"""The real service over fakes, on a real socket, in the test's own loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from ingest.app import App, Parts, create_app
from ingest.bad_requests import BadRequests
from ingest.connection import Deadlines
from ingest.outcomes import Outcomes
from ingest.service import bind, listening
from ingest.settings import IngestSettings
from shared.settings import load
from tests.fakes.ingest import FakeAlerts, FakeClock, FakeCounts, FakeInbox, FakeJournal

PAYLOADS = Path(__file__).parents[2] / "payloads"

REQUIRED = {"SQS_QUEUE_URL": "https://sqs.example/inbox", "DYNAMODB_TABLE": "scaler"}


@dataclass(frozen=True)
class Answer:
    """One answer, read to its end."""

    code: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def message(self) -> str:
        return str(self.json["message"])


@dataclass
class Service:
    """The running service, the fakes behind it, and a client in front of it."""

    settings: IngestSettings
    inbox: FakeInbox = field(default_factory=FakeInbox)
    journal: FakeJournal = field(default_factory=FakeJournal)
    counts: FakeCounts = field(default_factory=FakeCounts)
    alerts: FakeAlerts = field(default_factory=FakeAlerts)
    port: int = 0
    outcomes: Outcomes = field(init=False)
    app: App = field(init=False)
    client: aiohttp.ClientSession = field(init=False)

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """One request and its answer."""
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.client.request(method, url, allow_redirects=False, **options) as response:
            return Answer(response.status, response.headers, await response.text())

    async def post(self, path: str, body: Any = b"", **options: Any) -> Answer:
        """A POST; what is neither text nor bytes goes as JSON."""
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return await self.ask("POST", path, data=data, **options)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)


@asynccontextmanager
async def serving(
    environ: Mapping[str, str] | None = None,
    deadlines: Deadlines | None = None,
    interval: timedelta = timedelta(milliseconds=5),
    most_waiting: int = 100,
) -> AsyncIterator[Service]:
    """The service with these settings."""
    service = Service(load(IngestSettings, {**REQUIRED, **(environ or {})}))
    service.outcomes = Outcomes(service.journal, interval, most_waiting)
    clock = FakeClock()
    parts = Parts(
        settings=service.settings,
        inbox=service.inbox,
        journal=service.journal,
        counts=service.counts,
        outcomes=service.outcomes,
        bad_requests=BadRequests(service.alerts, clock),
        clock=clock,
        deadlines=deadlines or Deadlines(),
    )
    listener = bind("127.0.0.1", 0)
    service.port = listener.getsockname()[1]
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as service.client:
        reader = group.create_task(service.outcomes.run())
        service.app = create_app(parts)
        async with listening(service.app, listener):
            yield service
        reader.cancel()


def payload(name: str) -> Any:
    """One of the webhooks that real Alertmanagers sent."""
    return json.loads((PAYLOADS / f"{name}.json").read_text())
