"""Bad things stay small: faults of ours, and dependencies that are away for a while."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.world import RESCHEDULED, world

ALL = ["journal", "groups", "swarm", "alerts", "inbox"]


async def test_a_fault_of_ours_ends_the_one_request_and_the_next_is_served() -> None:
    async with world() as w:
        w.swarm.create("web", 2)
        process = await w.started()
        process.stage.refuse("swarm.service", RuntimeError("boom"))
        bad = await w.ended(w.ask("scale-service", service="web", scale="up"))
        assert bad.state == State.FAILED
        assert bad.message == "An unexpected error ended it (RuntimeError: boom); see the worker's log"
        assert w.told[-1][:3] == ("scale_service", "web", "error")
        good = await w.ended(w.ask("scale-service", service="web", scale="up"))
        assert good.state == State.SUCCEEDED


async def test_a_fault_that_comes_again_and_again_is_not_spun_on() -> None:
    async with world() as w:
        w.swarm.create("web", 2)
        process = await w.started()
        before = process.clock.now()
        process.stage.refuse("journal.save", *[RuntimeError("boom")] * 4)
        request = w.ask("scale-service", service="web", scale="up")
        record = await w.ended(request)
        assert record.state == State.FAILED
        assert process.clock.now() - before > timedelta(seconds=8)


@pytest.mark.parametrize("port", ALL)
async def test_a_port_that_is_away_for_twenty_seconds_costs_no_more_than_that(port: str) -> None:
    async with world() as w:
        w.swarm.create("demo", 6, labels=RESCHEDULED)
        process = await w.started()
        up = w.up()
        await w.at(up, "wait")
        process.stage.away.add(port)
        await w.passes(20)
        process.stage.away.clear()
        assert (await w.ended(up)).state == State.SUCCEEDED
        assert (await w.ended(w.down())).state == State.SUCCEEDED
        assert w.desired == [1, 2, 1]
        assert [item.token for item in w.leases.history][-1] == 1


async def test_one_failed_look_at_the_swarm_after_a_quiet_time_does_not_end_the_term() -> None:
    async with world() as w:
        process = await w.started()
        await w.passes(50)
        process.stage.refuse("swarm.identity", Unavailable("a hiccup"), Unavailable("a hiccup"))
        await w.passes(50)
        assert process.active
        assert w.leases.item is not None
        assert w.leases.item.token == 1


async def test_a_worker_without_its_swarm_for_thirty_seconds_lets_another_be_the_active_one_and_says_why() -> None:
    with capture_logs() as logs:
        async with world() as w:
            first = await w.started()
            second = w.start()
            first.stage.away.add("swarm")
            await w.until(lambda: second.active, within=130)
            assert not first.active
            assert first.stage.calls.count("lease.replace") > 0
            await w.until(lambda: any(line["event"] == "leadership_lost" for line in logs))
    assert [line["reason"] for line in logs if line["event"] == "leadership_lost"] == ["swarm.identity: no answer"]


async def test_a_notice_is_said_once_however_often_the_journal_refuses_to_hear_of_it() -> None:
    async with world() as w:
        process = await w.started()
        save = process.stage.hold("groups.set_desired", after=True)
        up = w.up()
        await w.until(lambda: process.stage.waiting == ["groups.set_desired done"])
        process.stage.away.add("journal")
        save.set()
        await w.passes(25)
        process.stage.away.clear()
        await w.ended(up)
        assert len(w.told) == len(set(w.told)) == 3


async def test_the_end_is_said_once_however_often_the_journal_refuses_to_hear_of_it() -> None:
    async with world() as w:
        w.swarm.create("web", 2)
        process = await w.started()
        process.stage.watchers.append(
            lambda call: process.stage.away.add("journal") if call == "swarm.update_service done" else None
        )
        request = w.ask("scale-service", service="web", scale="up")
        await w.until(lambda: bool(w.told))
        await w.passes(25)
        process.stage.away.clear()
        assert (await w.ended(request)).state == State.SUCCEEDED
        assert len(w.told) == 1


async def test_without_aws_a_terminated_node_is_removed_all_the_same() -> None:
    async with world(workers=2, reschedule_timeout=40) as w:
        process = await w.started()
        request = w.down()
        await w.at(request, "remove")
        process.stage.away.add("groups")
        assert (await w.ended(request)).state == State.SUCCEEDED
        assert len(w.nodes()) == 1
