"""Alerts: what is posted, over real HTTP, and what each answer means."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import aiohttp
import pytest
from aiohttp import web

from shared.alertmanager import STATUSES, Alert, Alertmanager, Status, payload
from shared.errors import Refused, Unavailable

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LASTS = timedelta(seconds=10)
SOON = timedelta(seconds=5)
ALERT = Alert("scale_nodes", "aws", "success", "Scale nodes up on: aws, by: 1, type: worker", "Changing ...")


@dataclass
class Receiver:
    """What stands in for Alertmanager."""

    url: str = ""
    code: int = 200
    silent: bool = False
    posted: list[Any] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.posted.append((request.path, await request.json()))
        if self.silent:
            await asyncio.Event().wait()
        return web.Response(status=self.code, text="what is wrong")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def second() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/{path:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield receiver
    await runner.cleanup()


async def post(url: str, timeout: timedelta = SOON) -> None:
    async with aiohttp.ClientSession() as session:
        await Alertmanager(session, url, LASTS).post(ALERT, NOON, timeout)


@pytest.mark.parametrize("status", STATUSES)
def test_posting_one_status_resolves_the_others(status: Status) -> None:
    entries = payload(Alert("a", "s", status, "asked", "became"), NOON, LASTS)
    ends = {entry["labels"]["status"]: datetime.fromisoformat(entry["endsAt"]) for entry in entries}
    assert ends.pop(status) == NOON + LASTS
    assert ends == dict.fromkeys(set(STATUSES) - {status}, NOON)
    for entry in entries:
        assert entry["labels"].items() >= {("alertname", "a"), ("service", "s")}
        assert entry["annotations"] == {"request": "asked", "summary": "became"}
        assert entry["startsAt"] < entry["endsAt"]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_it_goes_to_the_v2_api(receiver: Receiver, slash: str) -> None:
    await post(receiver.url + slash)
    [(path, body)] = receiver.posted
    assert path == "/api/v2/alerts"
    assert body == payload(ALERT, NOON, LASTS)


@pytest.mark.parametrize("code", [500, 503, 429])
async def test_later_is_unavailable(receiver: Receiver, code: int) -> None:
    receiver.code = code
    with pytest.raises(Unavailable, match=f"Alertmanager: {code} what is wrong"):
        await post(receiver.url)


@pytest.mark.parametrize("code", [400, 404, 422])
async def test_never_is_refused(receiver: Receiver, code: int) -> None:
    receiver.code = code
    with pytest.raises(Refused, match=f"Alertmanager: {code} what is wrong"):
        await post(receiver.url)


async def test_silence_is_unavailable_when_the_time_is_over(receiver: Receiver) -> None:
    receiver.silent = True
    with pytest.raises(Unavailable, match="no answer in time"):
        await post(receiver.url, timedelta(seconds=0.1))


async def test_an_address_where_nobody_is_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"^Alertmanager: "):
        await post("http://127.0.0.1:1")


async def test_a_name_that_nobody_knows_is_unavailable() -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with (
        mock.patch.object(asyncio.get_running_loop(), "getaddrinfo", side_effect=unknown) as asked,
        pytest.raises(Unavailable, match=r"^Alertmanager: "),
    ):
        await post("http://alertmanager.invalid")
    asked.assert_called()


@pytest.mark.parametrize("between", [",", " ", ", ", "\n"])
async def test_all_of_several_are_told(receiver: Receiver, second: Receiver, between: str) -> None:
    await post(f"{receiver.url}{between}{second.url}/")
    assert receiver.posted == second.posted == [("/api/v2/alerts", payload(ALERT, NOON, LASTS))]


async def test_one_that_takes_it_is_enough_and_the_other_is_named(
    receiver: Receiver, second: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    second.code = 503
    await post(f"{second.url},{receiver.url}")
    said = capsys.readouterr().out
    assert second.url in said
    assert receiver.url not in said


async def test_several_are_told_at_once(receiver: Receiver, second: Receiver) -> None:
    receiver.silent = True
    await post(f"{receiver.url},{second.url}", timedelta(seconds=0.2))
    assert len(second.posted) == 1


@pytest.mark.parametrize(
    ("first", "then", "kind"), [(503, 400, Unavailable), (400, 503, Unavailable), (400, 422, Refused)]
)
async def test_where_nobody_took_it_repeating_may_help_if_one_says_later(
    receiver: Receiver, second: Receiver, first: int, then: int, kind: type[Exception]
) -> None:
    receiver.code, second.code = first, then
    with pytest.raises(kind):
        await post(f"{receiver.url} {second.url}")


def test_an_alert_survives_the_journal() -> None:
    assert Alert.parse(ALERT.document()) == ALERT


def test_a_notice_about_a_node_ends_only_that_nodes_and_says_who_asked() -> None:
    alert = Alert("scale_nodes", "aws", "pending", "asked", "became", node="n1", id="r1", asked_by="somebody")
    entries = payload(alert, NOON, LASTS)
    assert {entry["labels"]["node"] for entry in entries} == {"n1"}
    assert entries[0]["annotations"] == {"request": "asked", "summary": "became", "id": "r1", "asked_by": "somebody"}


def test_an_older_worker_can_read_what_is_written_down() -> None:
    assert ALERT.document().keys() == {"alertname", "service", "status", "request", "summary"}
    assert Alert.parse(ALERT.document()) == ALERT
    full = Alert("a", "s", "error", "asked", "became", node="n", id="r", asked_by="b")
    assert full.document().keys() == {*ALERT.document(), "node"}  # the rest stands in the record
    assert Alert.parse(full.document()) == Alert("a", "s", "error", "asked", "became", node="n")
