"""Alertmanager may be away, hang or refuse: it is told in order, and nothing waits for it for long."""

import pytest

from shared.errors import Refused
from shared.records import State
from tests.behaviour.world import world


async def test_nothing_waits_for_an_alertmanager_that_is_away_and_the_end_waits_two_seconds() -> None:
    spans = []
    for away in (False, True):
        async with world() as w:
            process = await w.started()
            if away:
                process.stage.away.add("alerts")
            began = w.clock.now()
            record = await w.ended(w.up())
            spans.append((w.clock.now() - began).total_seconds())
            assert record.state == State.SUCCEEDED
            assert record.notified is not away
    assert 1.9 <= spans[1] - spans[0] <= 2.1


async def test_what_was_not_taken_is_taken_later_in_order() -> None:
    async with world() as w:
        process = await w.started()
        process.stage.away.add("alerts")
        request = w.up()
        await w.ended(request)
        await w.passes(300)
        process.stage.away.clear()
        await w.until(lambda: w.record(request).settled)
        assert [one[2] for one in w.told] == ["success", "pending", "success"]
        assert (w.record(request).notified, w.record(request).notices) == (True, ())


async def test_after_ten_minutes_a_notice_is_given_up_and_the_record_says_so() -> None:
    async with world() as w:
        process = await w.started()
        process.stage.away.add("alerts")
        request = w.up()
        await w.ended(request)
        await w.passes(590)
        assert not w.record(request).settled
        process.stage.away.add("journal.save")
        await w.passes(60)
        process.stage.away.discard("journal.save")
        await w.passes(30)
        assert (w.record(request).settled, w.record(request).notified) == (True, False)
        process.stage.away.clear()
        await w.passes(60)
        assert w.told == []


async def test_what_alertmanager_refuses_is_not_repeated_and_the_rest_is_said() -> None:
    async with world() as w:
        process = await w.started()
        process.stage.refuse("alerts.post", Refused("400"))
        record = await w.ended(w.up())
        assert record.notified
        assert [one[2] for one in w.told] == ["pending", "success"]


async def test_the_next_worker_says_what_the_one_before_could_not() -> None:
    async with world(lease_seconds=3) as w:
        first = await w.started()
        first.stage.away.add("alerts")
        request = w.up()
        await w.ended(request)
        first.kill()
        await w.started()
        await w.until(lambda: w.record(request).settled)
        assert [one[2] for one in w.told] == ["success", "pending", "success"]


@pytest.mark.parametrize("alerts", [True, False])
async def test_without_an_alertmanager_nothing_is_owed(alerts: bool) -> None:
    async with world() as w:
        await w.started(alerts=alerts)
        record = await w.ended(w.up())
        assert (record.settled, record.notified, bool(w.told)) == (True, True, alerts)
