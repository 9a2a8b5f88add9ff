"""Alertmanager may be away, hang or refuse: it is told in order, and nothing waits for it for long."""

import pytest

from shared.errors import Refused, Unavailable
from shared.records import State
from tests.behaviour.scenario import scenario


async def test_nothing_waits_for_an_alertmanager_that_is_away_and_the_end_waits_two_seconds() -> None:
    spans = []
    for away in (False, True):
        async with scenario() as s:
            process = await s.started()
            if away:
                process.ports.away.add("alerts")
            began = s.clock.now()
            record = await s.ended(s.up())
            spans.append((s.clock.now() - began).total_seconds())
            assert record.state == State.SUCCEEDED
            assert record.notified is not away
    assert 1.9 <= spans[1] - spans[0] <= 2.1


async def test_what_was_not_taken_is_taken_later_in_order() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.away.add("alerts")
        request = s.up()
        await s.ended(request)
        await s.passes(300)
        process.ports.away.clear()
        await s.until(lambda: s.record(request).settled)
        assert [one[2] for one in s.told] == ["success", "pending", "success"]
        assert (s.record(request).notified, s.record(request).notices) == (True, ())


async def test_an_end_that_was_written_without_an_answer_is_settled_once_people_are_told() -> None:
    async with scenario(default_max_worker_nodes=1) as s:
        process = await s.started()
        process.ports.away.add("alerts")
        request = s.up()

        def lose(call: str) -> None:
            if call == "journal.save done" and s.record(request).state.ended:
                process.ports.watchers.clear()
                process.ports.away.clear()
                process.ports.lose_answer("journal.save", Unavailable("no answer"))

        process.ports.watchers.append(lose)
        record = await s.ended(request)
        assert not record.settled
        await s.until(lambda: s.record(request).settled)
        assert [one[2] for one in s.told] == ["success"]


async def test_after_ten_minutes_a_notice_is_given_up_and_the_record_says_so() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.away.add("alerts")
        request = s.up()
        await s.ended(request)
        await s.passes(590)
        assert not s.record(request).settled
        process.ports.away.add("journal.save")
        await s.passes(60)
        process.ports.away.discard("journal.save")
        await s.passes(30)
        assert (s.record(request).settled, s.record(request).notified) == (True, False)
        process.ports.away.clear()
        await s.passes(60)
        assert s.told == []


async def test_what_alertmanager_refuses_is_not_repeated_and_the_rest_is_said() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.refuse("alerts.post", Refused("400"))
        record = await s.ended(s.up())
        assert record.notified
        assert [one[2] for one in s.told] == ["pending", "success"]


async def test_the_next_worker_says_what_the_one_before_could_not() -> None:
    async with scenario(lease_seconds=3) as s:
        first = await s.started()
        first.ports.away.add("alerts")
        request = s.up()
        await s.ended(request)
        first.kill()
        await s.started()
        await s.until(lambda: s.record(request).settled)
        assert [one[2] for one in s.told] == ["success", "pending", "success"]


@pytest.mark.parametrize("alerts", [True, False])
async def test_without_an_alertmanager_nothing_is_owed(alerts: bool) -> None:
    async with scenario() as s:
        await s.started(alerts=alerts)
        record = await s.ended(s.up())
        assert (record.settled, record.notified, bool(s.told)) == (True, True, alerts)


async def test_each_alert_carries_the_request_and_who_asked() -> None:
    async with scenario() as s:
        await s.started()
        request = s.up(asked_by={"alerts": ["MemoryHigh"], "address": "10.0.0.1"})
        await s.ended(request)
        assert {(posted.alert.id, posted.alert.asked_by) for posted in s.alerts.posted} == {(request, "MemoryHigh")}


async def test_a_person_is_named_with_the_address() -> None:
    async with scenario() as s:
        await s.started()
        await s.ended(s.up(asked_by={"user": "ann", "address": "10.0.0.1"}))
        assert {posted.alert.asked_by for posted in s.alerts.posted} == {"ann at 10.0.0.1"}
