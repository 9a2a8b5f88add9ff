"""Bad things stay small: faults of ours, and dependencies that are away for a while."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.scenario import RESCHEDULED, scenario

ALL = ["journal", "groups", "swarm", "alerts", "inbox"]


async def test_a_fault_of_ours_ends_the_one_request_and_the_next_is_served() -> None:
    async with scenario() as s:
        s.swarm.create("web", 2)
        process = await s.started()
        process.ports.refuse("swarm.service", RuntimeError("boom"))
        bad = await s.ended(s.ask("scale-service", service="web", scale="up"))
        assert bad.state == State.FAILED
        assert bad.message.startswith("An unexpected error in the worker ended it: look for request_failed_unexp")
        assert "boom" not in bad.message
        assert s.told[-1][:3] == ("scale_service", "web", "error")
        good = await s.ended(s.ask("scale-service", service="web", scale="up"))
        assert good.state == State.SUCCEEDED


async def test_a_fault_that_comes_again_and_again_is_not_spun_on() -> None:
    async with scenario() as s:
        s.swarm.create("web", 2)
        process = await s.started()
        before = process.clock.now()
        process.ports.refuse("journal.save", *[RuntimeError("boom")] * 4)
        request = s.ask("scale-service", service="web", scale="up")
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert process.clock.now() - before > timedelta(seconds=8)


@pytest.mark.parametrize("port", ALL)
async def test_a_port_that_is_away_for_twenty_seconds_costs_no_more_than_that(port: str) -> None:
    async with scenario() as s:
        s.swarm.create("demo", 6, labels=RESCHEDULED)
        process = await s.started()
        up = s.up()
        await s.at(up, "wait")
        process.ports.away.add(port)
        await s.passes(20)
        process.ports.away.clear()
        assert (await s.ended(up)).state == State.SUCCEEDED
        assert (await s.ended(s.down())).state == State.SUCCEEDED
        assert s.desired == [1, 2, 1]
        assert [item.token for item in s.leases.history][-1] == 1


async def test_one_failed_look_at_the_swarm_after_a_quiet_time_does_not_end_the_term() -> None:
    async with scenario() as s:
        process = await s.started()
        await s.passes(50)
        process.ports.refuse("swarm.identity", Unavailable("a hiccup"), Unavailable("a hiccup"))
        await s.passes(50)
        assert process.active
        assert s.leases.item is not None
        assert s.leases.item.token == 1


async def test_a_worker_without_its_swarm_for_thirty_seconds_lets_another_be_the_active_one_and_says_why() -> None:
    with capture_logs() as logs:
        async with scenario() as s:
            first = await s.started()
            second = s.start()
            first.ports.away.add("swarm")
            await s.until(lambda: second.active, within=130)
            assert not first.active
            assert first.ports.calls.count("lease.replace") > 0
            await s.until(lambda: any(line["event"] == "leadership_lost" for line in logs))
    assert [line["reason"] for line in logs if line["event"] == "leadership_lost"] == [
        "Docker: swarm.identity: no answer"
    ]


async def test_a_notice_is_said_once_however_often_the_journal_refuses_to_hear_of_it() -> None:
    async with scenario() as s:
        process = await s.started()
        save = process.ports.hold("groups.set_desired", after=True)
        up = s.up()
        await s.until(lambda: process.ports.waiting == ["groups.set_desired done"])
        process.ports.away.add("journal")
        save.set()
        await s.passes(25)
        process.ports.away.clear()
        await s.ended(up)
        assert len(s.told) == len(set(s.told)) == 3


async def test_the_end_is_said_once_however_often_the_journal_refuses_to_hear_of_it() -> None:
    async with scenario() as s:
        s.swarm.create("web", 2)
        process = await s.started()
        process.ports.watchers.append(
            lambda call: process.ports.away.add("journal") if call == "swarm.update_service done" else None
        )
        request = s.ask("scale-service", service="web", scale="up")
        await s.until(lambda: bool(s.told))
        await s.passes(25)
        process.ports.away.clear()
        assert (await s.ended(request)).state == State.SUCCEEDED
        assert len(s.told) == 1


async def test_without_aws_a_terminated_node_is_removed_all_the_same() -> None:
    async with scenario(workers=2, reschedule_timeout=40) as s:
        process = await s.started()
        request = s.down()
        await s.at(request, "remove")
        process.ports.away.add("groups")
        record = await s.ended(request)
        assert record.state == State.SUCCEEDED
        assert record.message.endswith(f" from 2 to 1; {record.plan['leaving'][0]['name']} removed")
        assert len(s.nodes()) == 1


@pytest.mark.parametrize("action", ["scale-nodes", "replace-node"])
@pytest.mark.parametrize("lasts", [1500, 3500])
async def test_a_termination_that_aws_has_confirmed_is_said_however_long_it_cannot_be_written_down(
    action: str, lasts: float
) -> None:
    """For longer than it is tried, and for longer than it is tried to give the node back."""
    call = "groups.terminate" if action == "scale-nodes" else "groups.replace"
    async with scenario(workers=2) as s:
        process = await s.started()
        process.ports.watchers.append(
            lambda name: process.ports.away.add("journal.save") if name == f"{call} done" else None
        )
        fields = {"scale": "down", "type": "worker"} if action == "scale-nodes" else {"node": s.host(s.workers[0])}
        request = s.ask(action, **fields)
        await s.until(lambda: "journal.save" in process.ports.away)
        await s.passes(lasts)
        process.ports.away.clear()
        record = await s.ended(request)
        assert record.plan["terminated"] == [record.plan["leaving"][0]["instance_id"]]
        assert "AWS may have terminated" not in record.message
        assert process.ports.calls.count(call) == 1
