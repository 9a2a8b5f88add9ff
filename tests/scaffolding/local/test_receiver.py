"""The stand-in for Alertmanager: as strict as the real one, and Slack's words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from infra.local.board import KEPT, Board
from infra.local.loopback import served
from infra.local.receiver import Receiver
from shared.alertmanager import Alert, Alertmanager, payload
from tests.scaffolding.local.conftest import Http

LASTS = timedelta(seconds=10)


def now() -> datetime:
    return datetime.now(UTC)


def alert(status: Any = "success", summary: str = "All is well", name: str = "scale_nodes") -> Alert:
    return Alert(name, "aws", status, "Scale nodes up", summary)


def entry(**changes: Any) -> dict[str, Any]:
    labels = {"alertname": "scale_nodes", "service": "aws", "status": "success"}
    entry = {"labels": labels, "annotations": {"summary": "Well"}, "startsAt": "2026-11-22T10:00:00.000Z"}
    return {key: value for key, value in (entry | changes).items() if value is not None}


class Stand:
    def __init__(self, http: Http, receiver: Receiver, url: str) -> None:
        self.http = http
        self.receiver = receiver
        self.url = url

    async def post(self, body: object) -> tuple[int, Any]:
        return await self.http.ask("POST", f"{self.url}/api/v2/alerts", body)

    async def slack(self) -> list[str]:
        _, text = await self.http.ask("GET", f"{self.url}/slack")
        return str(text).splitlines()

    async def active(self, *filters: str) -> Any:
        query = urlencode([("filter", one) for one in filters])
        return (await self.http.ask("GET", f"{self.url}/api/v2/alerts?{query}"))[1]


@pytest.fixture
async def stand(http: Http) -> AsyncIterator[Stand]:
    receiver = Receiver()
    async with served(receiver.app()) as url:
        yield Stand(http, receiver, url)


async def test_what_our_services_post_is_taken_shown_and_said(stand: Stand) -> None:
    client = Alertmanager(stand.http.session, stand.url, LASTS)
    await client.post(alert(), now(), LASTS)
    [shown] = await stand.active()
    assert shown["labels"] == {"alertname": "scale_nodes", "service": "aws", "status": "success"}
    assert shown["annotations"] == {"request": "Scale nodes up", "summary": "All is well"}
    assert shown["status"]["state"] == "active"
    assert len(shown["fingerprint"]) == 16
    assert await stand.slack() == ["All is well"]


@pytest.mark.parametrize(
    ("filters", "statuses"),
    [
        ((), ["error", "pending"]),
        (('status="error"',), ["error"]),
        (("status=error", 'alertname = "scale_nodes"'), ["error"]),
        (('status!="error"',), ["pending"]),
        (('status=~"err.*|pend.*"',), ["error", "pending"]),
        (('status=~"err"',), []),
        (('status!~"pend.*"',), ["error"]),
        (('nowhere=""',), ["error", "pending"]),
        (('status="error"', 'status="pending"'), []),
    ],
)
async def test_alerts_are_filtered_as_amtool_asks_for_them(
    stand: Stand, filters: tuple[str, ...], statuses: list[str]
) -> None:
    for status in ("error", "pending"):
        labels = {"alertname": "scale_nodes", "service": "aws", "status": status}
        await stand.post([entry(labels=labels, endsAt=(now() + LASTS).isoformat())])
    assert sorted(shown["labels"]["status"] for shown in await stand.active(*filters)) == statuses


@pytest.mark.parametrize("text", ["status", 'status="', "=x", 'status=~"("'])
async def test_a_filter_that_is_none_is_refused(stand: Stand, text: str) -> None:
    code, said = await stand.http.ask("GET", f"{stand.url}/api/v2/alerts?{urlencode({'filter': text})}")
    assert code == 400
    assert "bad matcher format" in str(said)


async def test_slack_hears_pending_then_success_and_no_empty_text_between(stand: Stand) -> None:
    for one in (alert("pending", "Wait"), alert("success", "Done"), alert("error", "Oh no", "other")):
        assert await stand.post(payload(one, now(), LASTS)) == (200, "")
    assert await stand.slack() == ["Wait", "Done", "Oh no"]


async def test_statuses_that_are_not_resolved_have_no_common_summary(stand: Stand) -> None:
    await stand.post(payload(alert("pending", "Wait"), now(), LASTS)[:1])
    await stand.post(payload(alert("success", "Done"), now(), LASTS)[:1])
    assert await stand.slack() == ["Wait", ""]


async def test_a_resolved_alert_is_not_said_and_not_active(stand: Stand) -> None:
    await stand.post([entry(endsAt="2026-11-22T10:00:01Z")])
    assert await stand.slack() == []
    assert await stand.active() == []


def test_an_alert_lasts_until_its_end() -> None:
    board, start = Board(), now()
    board.post(payload(alert(), start, LASTS), start)
    assert len(board.active(start + LASTS * 0.9)) == 1
    assert board.active(start + LASTS) == []


def test_the_newest_messages_are_kept() -> None:
    board, start = Board(), now()
    for number in range(KEPT + 5):
        board.post(payload(alert(summary=str(number)), start, LASTS), start)
    assert len(board.messages) == KEPT
    assert board.messages[-1].summary == str(KEPT + 4)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "list"),
        ([{}], "labels"),
        ([entry(labels={})], "labels"),
        ([entry(labels={"alertname": ""})], "labels.alertname"),
        ([entry(labels={"alertname": 1})], "labels.alertname"),
        ([entry(labels={"no good": "x"})], "labels.no good"),
        ([entry(annotations={"summary": None})], "annotations.summary"),
        ([entry(startsAt="yesterday")], "RFC 3339"),
        ([entry(startsAt=1_700_000_000)], "RFC 3339"),
        ([entry(endsAt="2026-11-22")], "RFC 3339"),
        ([entry(endsAt="2026-13-22T10:00:00Z")], "endsAt"),
        ([entry(endsAt="2026-11-22T09:59:59.999Z")], "start time must be before end time"),
        ([entry(), entry(labels={})], "1.labels"),
    ],
)
async def test_what_alertmanager_would_refuse_is_refused_as_a_whole(stand: Stand, body: Any, complaint: str) -> None:
    status, said = await stand.post(body)
    assert status == 400
    assert complaint in said
    assert await stand.slack() == []


async def test_a_body_that_is_no_json_is_refused(stand: Stand) -> None:
    status, _ = await stand.http.ask("POST", f"{stand.url}/api/v2/alerts", data=b"{")
    assert status == 400


@pytest.mark.parametrize(
    "end", [None, "0001-01-01T00:00:00Z", "2999-01-01T00:00:00+02:00", "2999-01-01T00:00:00.123456789Z"]
)
async def test_an_end_may_be_missing_or_written_as_go_writes_it(stand: Stand, end: str | None) -> None:
    assert (await stand.post([entry(endsAt=end)]))[0] == 200
    assert len(await stand.active()) == 1


async def test_it_can_be_told_to_fail_and_is_well_again(stand: Stand) -> None:
    stand.receiver.fault = "fail"
    assert (await stand.post([entry()]))[0] == 500
    stand.receiver.fault = "none"
    assert (await stand.post([entry()]))[0] == 200
    assert await stand.slack() == ["Well"]


async def test_hanging_it_answers_nobody_until_it_is_well(stand: Stand) -> None:
    stand.receiver.fault = "hang"
    impatient = aiohttp.ClientTimeout(total=0.1)
    with pytest.raises(TimeoutError):
        await stand.http.session.post(f"{stand.url}/api/v2/alerts", json=[entry()], timeout=impatient)
    waiting = asyncio.create_task(stand.post([entry(annotations={"summary": "Late"})]))
    assert (await stand.http.ask("GET", f"{stand.url}/-/healthy"))[0] == 200
    assert not waiting.done()
    stand.receiver.fault = "none"
    assert (await waiting)[0] == 200
    assert await stand.slack() == ["Late"]


async def test_listeners_hear_each_message(stand: Stand) -> None:
    heard: list[str] = []
    stand.receiver.board.on_message(lambda message: heard.append(json.dumps([message.status, message.summary])))
    await stand.post(payload(alert("error", "No"), now(), LASTS))
    assert heard == ['["error", "No"]']
