"""Notices: their order, and what becomes of them when nobody hears."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.alertmanager import Alert
from shared.errors import Refused, Unavailable
from tests.unit.desk import Desk
from worker.requests.outbox import MOST_UNRECORDED, OFFERED_FOR, parsed

pytestmark = pytest.mark.looptime(idle_timeout=1)

AWAY = Unavailable("no answer")


def alert(summary: str) -> Alert:
    """Something to say."""
    return Alert("scale_nodes", "aws", "success", "asked", summary)


@asynccontextmanager
async def running(desk: Desk) -> AsyncIterator[None]:
    """The outbox runs inside."""
    task = asyncio.ensure_future(desk.outbox.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_what_a_request_says_is_posted_in_its_order_and_once() -> None:
    desk = Desk()
    request = desk.put()
    request.say(alert("a"), alert("b"))
    request.say(alert("b"), alert("c"), alert("a"))
    async with running(desk):
        await desk.outbox.flushed(request.id, 1)
        request.say(alert("c"))
        await asyncio.sleep(1)
    assert desk.alerts.summaries == ["a", "b", "c"]


async def test_what_is_not_taken_is_offered_again_in_its_order() -> None:
    desk = Desk()
    desk.hooks.refuse("alerts.post", AWAY, AWAY, AWAY)
    request = desk.put()
    request.say(alert("a"), alert("b"))
    async with running(desk):
        await asyncio.sleep(0.1)
        assert [each.summary for each in desk.outbox.pending("r")] == ["a", "b"]
        await asyncio.sleep(10)
    assert desk.alerts.summaries == ["a", "b"]


async def test_a_request_whose_notices_nobody_takes_holds_no_other_up_for_ever() -> None:
    desk = Desk()
    desk.put("a").say(alert("a"))
    desk.put("b").say(alert("b"))
    desk.hooks.refuse("alerts.post", AWAY)
    async with running(desk):
        await asyncio.sleep(0.2)
        assert desk.alerts.summaries == ["b"]


async def test_what_is_refused_is_not_repeated() -> None:
    desk = Desk()
    desk.hooks.refuse("alerts.post", Refused("400"))
    desk.put().say(alert("a"), alert("b"))
    async with running(desk):
        await asyncio.sleep(60)
    assert desk.alerts.summaries == ["b"]


async def test_who_waits_for_the_end_of_the_notices_waits_no_longer_than_was_said() -> None:
    desk = Desk()
    request = desk.put()
    request.say(alert("a"))
    began = asyncio.get_running_loop().time()
    await desk.outbox.flushed(request.id, 2)
    assert asyncio.get_running_loop().time() - began == pytest.approx(2)


async def test_an_alert_that_stands_in_no_record_is_offered_for_ten_minutes() -> None:
    desk = Desk()
    desk.hooks.refuse("alerts.post", *[AWAY] * 1000)
    desk.outbox.offer(alert("a"))
    async with running(desk):
        await asyncio.sleep(OFFERED_FOR.total_seconds() + 30)
        posts = desk.hooks.calls.count("alerts.post")
        await asyncio.sleep(600)
    assert desk.hooks.calls.count("alerts.post") == posts > 50


async def test_no_more_than_a_hundred_alerts_wait_without_a_record() -> None:
    desk = Desk()
    for number in range(MOST_UNRECORDED + 10):
        desk.outbox.offer(alert(str(number)))
    async with running(desk):
        await asyncio.sleep(1)
    assert desk.alerts.summaries == [str(number) for number in range(MOST_UNRECORDED)]


def test_a_notice_that_can_not_be_read_costs_no_other() -> None:
    good = alert("a").document()
    assert parsed([7, {"alertname": "x"}, {**good, "label": "of the future"}]) == (alert("a"),)
